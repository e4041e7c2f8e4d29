// DemoUpstream: a small HTTP server to try the gateway with: says hello, echoes bodies, streams
// events. On loopback, one thread of its own. Thread-safe. For trying, not for serving.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

namespace sluicegate::gateway {

class DemoUpstream {
 public:
  /// Listens on a free port of 127.0.0.1 and serves until it is destroyed.
  [[nodiscard]] static std::expected<std::unique_ptr<DemoUpstream>, std::string> Start();
  ~DemoUpstream();
  DemoUpstream(const DemoUpstream&) = delete;
  DemoUpstream& operator=(const DemoUpstream&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;

 private:
  struct Impl;
  explicit DemoUpstream(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace sluicegate::gateway
