// What a gateway counts, loop by loop. One thread adds, any may read: relaxed atomics without a
// locked instruction.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluicegate::gateway {

enum class Event : std::uint8_t {
  kConnections,  ///< Accepted.
  kConnectionsClosed,
  kRequests,              ///< Heads read, refused ones included.
  kRefusedFraming,        ///< Requests that no server should read: 400, 414, 417, 431, 501, 505.
  kRefusedBody,           ///< 413.
  kRefusedMessages,       ///< Of MCP: no JSON, no message, or not what their headers say.
  kHeaderTimeouts,        ///< Heads that took too long.
  kHandshakesFailed,      ///< TLS that could not be agreed on.
  kSlowBodies,            ///< Clients that sent a request's body too slowly.
  kSlowReaders,           ///< Clients that took an answer too slowly.
  kRefusedConnections,    ///< Clients that had too many, or opened them too fast; or there was no
                          ///< room.
  kEvictedConnections,    ///< Slow or idle ones that made room for others.
  kIdleTimeouts,          ///< Connections that were silent too long between requests.
  kDenied,                ///< By the policy.
  kUpstreamConnects,      ///< Connections made to the upstream.
  kUpstreamReuses,        ///< Requests sent on a pooled one.
  kUpstreamStaleRetries,  ///< Pooled connections that turned out to be closed; tried anew once.
  kUpstreamUnreachable,   ///< 502: no connection.
  kUpstreamBroken,        ///< 502: it closed or answered nonsense.
  kUpstreamTimeouts,      ///< 504.
  kClientsGone,           ///< Left, or stopped reading, before their answer was complete.
  kResponses2xx,          ///< Sent to clients, the gateway's own included.
  kResponses3xx,
  kResponses4xx,
  kResponses5xx,
};
inline constexpr std::size_t kEvents = 25;

class Counters {
 public:
  void Add(Event event) noexcept {
    auto& value = values_[static_cast<std::size_t>(event)];
    value.store(value.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  void AddResponse(unsigned status) noexcept {
    if (status >= 500) {
      Add(Event::kResponses5xx);
    } else if (status >= 400) {
      Add(Event::kResponses4xx);
    } else {
      Add(status >= 300 ? Event::kResponses3xx : Event::kResponses2xx);
    }
  }
  [[nodiscard]] std::uint64_t Read(Event event) const noexcept {
    return values_[static_cast<std::size_t>(event)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, kEvents> values_{};
};

/// The sums over all loops. A value type.
struct Statistics {
  std::array<std::uint64_t, kEvents> counts{};
  [[nodiscard]] std::uint64_t operator[](Event event) const noexcept {
    return counts[static_cast<std::size_t>(event)];
  }
  [[nodiscard]] std::uint64_t open_connections() const noexcept {
    const std::uint64_t opened = (*this)[Event::kConnections];
    return opened - std::min(opened, (*this)[Event::kConnectionsClosed]);
  }
};

}  // namespace sluicegate::gateway
