// A state file of a test, and regions in it that tell who made them.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/temporary_folder_for_test.h"
#include "table/state_file.h"

namespace sluicegate::table {

inline constexpr std::uint64_t kSecond = 1'000'000'000;
inline constexpr std::uint64_t kHour = 3600 * kSecond;
inline constexpr std::size_t kBytes = 3 * 4096 - 64;  // No whole number of pages.

inline Machine MachineOfBoot(unsigned char boot, std::uint64_t boottime_ns, std::int64_t unix_ns) {
  Machine machine{
      .boot_id = {}, .time_namespace = 7, .boottime_ns = boottime_ns, .unix_ns = unix_ns};
  machine.boot_id[0] = std::byte{boot};
  return machine;
}

class StateFileFixture : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path() const { return folder_ / "state"; }
  [[nodiscard]] std::unique_ptr<StateFile> Open(const Machine& machine = Machine::Here()) const {
    auto file = StateFile::Open(Path(), machine);
    EXPECT_TRUE(file.has_value()) << file.error();
    return file ? std::move(*file) : nullptr;
  }
  [[nodiscard]] std::string Refusal(const Machine& machine = Machine::Here()) const {
    const auto file = StateFile::Open(Path(), machine);
    return file ? "" : file.error();
  }
  void Write(std::size_t at, std::string_view bytes) const {
    std::fstream file(Path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }
  [[nodiscard]] StateFileReport Report() const {
    auto report = StateFile::Read(Path());
    EXPECT_TRUE(report.has_value()) << report.error();
    return report ? *report : StateFileReport{};
  }

  TemporaryFolder folder_;
};

// A region whose first byte tells who prepared it.
inline std::shared_ptr<Mapping> Attach(StateFile& file, std::string_view name,
                                       std::uint64_t identity, char mark,
                                       std::size_t bytes = kBytes) {
  auto mapping = file.Attach(
      {.name = std::string(name), .description = std::to_string(identity), .lasts_ns = kHour},
      bytes, [mark](const StateFile::Fresh& fresh) {
        fresh.region->data()[0] = static_cast<std::byte>(mark);
        return true;
      });
  EXPECT_TRUE(mapping.has_value()) << mapping.error();
  return mapping ? std::move(*mapping) : nullptr;
}
inline char MarkOf(const Mapping& mapping) { return static_cast<char>(mapping.data()[0]); }

}  // namespace sluicegate::table
