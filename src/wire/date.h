// Instants as texts: of the Date field (IMF-fixdate, RFC 9110 section 5.6.7), and in JSON (RFC
// 3339).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluicegate::wire {

inline constexpr std::size_t kDateBytes = 29;  ///< "Sun, 06 Nov 1994 08:49:37 GMT".
using DateText = std::array<char, kDateBytes>;

/// Pure. Times before 1970 and after the year 9999 are told as the nearest that can be.
[[nodiscard]] DateText FormatDate(std::int64_t unix_s) noexcept;

inline constexpr std::size_t kTimestampBytes = 20;  ///< "1994-11-06T08:49:37Z".
using TimestampText = std::array<char, kTimestampBytes>;

/// As FormatDate, of RFC 3339.
[[nodiscard]] TimestampText FormatTimestamp(std::int64_t unix_s) noexcept;

/// Formats once a second. Bound to one loop.
class DateCache {
 public:
  /// The text lives until the next call.
  [[nodiscard]] std::string_view At(std::int64_t unix_s) noexcept {
    if (unix_s != unix_s_) {
      unix_s_ = unix_s;
      text_ = FormatDate(unix_s);
    }
    return {text_.data(), text_.size()};
  }

 private:
  std::int64_t unix_s_ = 0;
  DateText text_ = FormatDate(0);
};

}  // namespace sluicegate::wire
