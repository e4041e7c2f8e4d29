// Attached: one process' engine on a state file, for tests. Bound to one thread.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/temporary_folder_for_test.h"
#include "config/load.h"
#include "engine/engine.h"
#include "table/state_file.h"

namespace sluicegate::engine {

inline constexpr Now kNow{.engine_ns = 1'000'000'000'000, .unix_ns = 1'800'000'000'000'000'000};

inline Now After(std::uint64_t seconds) {
  return {.engine_ns = kNow.engine_ns + seconds * 1'000'000'000,
          .unix_ns = kNow.unix_ns + static_cast<std::int64_t>(seconds) * 1'000'000'000};
}

inline std::string Api(const std::string& terms) {
  return "{state: {memory: 1MiB}, rules: [{name: api, key: [client], " + terms + "}]}";
}

class Attached {
 public:
  Attached(const std::string& path, const std::string& yaml)
      : file_(std::move(*table::StateFile::Open(path))) {
    auto policy = config::ParsePolicy(yaml);
    EXPECT_TRUE(policy.has_value()) << policy.error()[0].what;
    auto engine = Engine::Attach(*policy, file_, kNow, lines_);
    EXPECT_TRUE(engine.has_value()) << engine.error();
    engine_ = std::move(*engine);
  }
  Decision Ask(std::uint8_t client = 1, Now now = kNow, std::uint64_t cost = 1) {
    const Request request{.client = IpAddress::V4({10, 0, 0, client}),
                          .method = "GET",
                          .path = "/",
                          .host = "a",
                          .cost = cost};
    return *engine_->Decide(*engine_->rulesets().Get(), request, now, &receipt_);
  }
  void GiveBack(const Decision& decision, Now now) {
    engine_->GiveBack(*engine_->rulesets().Get(), decision.stamp, now);
  }
  std::vector<std::string> Publish(const std::string& yaml) {
    auto lines = engine_->Publish(*config::ParsePolicy(yaml), kNow);
    EXPECT_TRUE(lines.has_value()) << lines.error();
    return lines.value_or(std::vector<std::string>{});
  }
  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::shared_ptr<table::StateFile> file_;
  std::vector<std::string> lines_;
  std::unique_ptr<Engine> engine_;
  Receipt receipt_;
};

/// A file for the engines of a test.
class StateFolder : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path() const { return folder_ / "state"; }
  [[nodiscard]] Attached Attach(const std::string& yaml) const { return {Path(), yaml}; }

  TemporaryFolder folder_;
};

}  // namespace sluicegate::engine
