// A limit: a quota per window with an algorithm, as a person writes it.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "sluicegate/time.h"

namespace sluicegate {

enum class Algorithm : std::uint8_t {
  kSlidingWindow,  ///< At most `quota` units in any interval of length `window`.
  kTokenBucket,    ///< GCRA: at most `quota + rate * W` units in any interval W.
  kFixedWindow,    ///< At most `quota` in each calendar window in UTC: up to twice that across an
                   ///< edge.
  kConcurrency,    ///< At most `quota` in flight, each a lease of length `window`.
};

/// The windows of the calendar, in UTC. Weeks begin on Monday (ISO 8601).
enum class CalendarUnit : std::uint8_t { kSecond, kMinute, kHour, kDay, kWeek, kMonth, kYear };

/// A quota per window. A value type; a `Limit` that came from `Parse` is well formed, one that was
/// filled in by hand is checked where it is used (Limiter::Create, a policy).
///
///     Limit::Parse("60/minute")     a sliding window
///     Limit::Parse("5/30s")         the same, with a length of one's own
///     Limit::Burst(10, "1/s")       a bucket of 10 that gets one unit back each second
///     Limit::Burst(10)              the same at the rate of the shortest window beside it
///     Limit::Concurrency(20)        20 at the same time
struct Limit {
  Algorithm algorithm = Algorithm::kSlidingWindow;
  std::uint64_t quota = 0;  ///< Units. Token bucket: the capacity. Concurrency: requests in flight.
  Duration
      window{};  ///< The window; for a token bucket the period in which `refill` units come back.
  std::uint64_t refill =
      0;  ///< Token bucket only: units each `window`; 0: the shortest window's rate.
  CalendarUnit unit = CalendarUnit::kMinute;  ///< Fixed window only.
  std::string name;  ///< What the fields call it ("per-minute"). Empty: made from the quota.

  /// Reads `N/unit` or `N/LENGTH`, where a length is a number and a unit ("5/30s"): second, minute,
  /// hour, day, week and their short and plural forms. The error is a sentence that says what is
  /// wrong and what to write instead.
  [[nodiscard]] static std::expected<Limit, std::string> Parse(std::string_view quota);

  /// Reads a fixed window's `N/unit`; here month and year are units, too.
  [[nodiscard]] static std::expected<Limit, std::string> ParseFixedWindow(std::string_view quota);

  /// A token bucket. An unreadable `refill` is told by whoever checks the limit.
  [[nodiscard]] static Limit Burst(std::uint64_t capacity, std::string_view refill = {});

  /// So many units at the same time, each in flight until it is released (class Lease), or for
  /// `lease` at the longest, so that a crash gives it back.
  [[nodiscard]] static Limit Concurrency(std::uint64_t in_flight,
                                         Duration lease = std::chrono::minutes(1));

  friend bool operator==(const Limit&, const Limit&) = default;
};

/// Reads a length of time: a whole number with ns, us, ms, s, m, min, h, d, w or the words ("30s",
/// "5min", "1 hour"); a word alone is one of it. The error says what to write instead.
[[nodiscard]] std::expected<Duration, std::string> ParseDuration(std::string_view text);

}  // namespace sluicegate
