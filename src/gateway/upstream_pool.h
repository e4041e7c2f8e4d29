// UpstreamPool: connections to the upstream of one loop, kept open between requests. Bound to its
// loop. Connections are owned by whoever took them, and by the pool while they rest.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "gateway/upstream_target.h"
#include "net/event_loop.h"
#include "net/socket.h"
#include "wire/http_head.h"

namespace sluicegate::gateway {

/// What was read of a response, while there is something: a silent upstream needs none.
struct ResponseBuffer {
  wire::ResponseParser parser;
  wire::ResponseHead head;  ///< Of the last response; views into the bytes.
  // The longest head that is read fits.
  std::array<char, std::size_t{64} * 1024> bytes;
  static_assert(sizeof(bytes) > wire::kMaxHeadBytes);
};

/// One connection.
struct UpstreamConnection {
  explicit UpstreamConnection(net::EventLoop& loop) : socket(loop) {}
  net::Socket socket;
  bool reused = false;  ///< It carried a request before.
  TargetPtr target;
  std::size_t begin = 0;  ///< Bytes read and not used lie in [begin, end).
  std::size_t end = 0;
  std::unique_ptr<ResponseBuffer> response;  ///< Null: nothing lies there.

  [[nodiscard]] std::string_view unread() const noexcept {
    if (response == nullptr) return {};
    return {response->bytes.data() + begin, end - begin};
  }
};
using UpstreamPtr = std::shared_ptr<UpstreamConnection>;

class UpstreamPool {
 public:
  static constexpr std::size_t kMaxIdle = 256;  ///< More are closed.

  /// A resting connection to `target`, or null; one that the upstream closed or sent something on
  /// meanwhile is dropped, as what it sent would pass for the next answer (costs a system call).
  [[nodiscard]] UpstreamPtr Take(const TargetPtr& target);
  /// Lets a connection rest whose last response was read to its end.
  void Return(UpstreamPtr connection);
  /// Drops those that the upstream closed or sent something on, or that lead to no server of
  /// `group`.
  void Sweep(const UpstreamGroup& group);
  void Clear() { idle_.clear(); }
  [[nodiscard]] bool empty() const noexcept { return idle_.empty(); }

 private:
  std::vector<UpstreamPtr> idle_;  // The last used is taken first: the others may close for age.
};

}  // namespace sluicegate::gateway
