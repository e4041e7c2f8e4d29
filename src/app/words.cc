#include "app/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

namespace sluicegate::app {
namespace {

std::uint64_t NsOf(Duration length) { return static_cast<std::uint64_t>(length.count()); }

/// "1 each 1s" for 60 a minute; as written where that is no whole number of seconds.
std::string RefillText(const Limit& bucket) {
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  const std::uint64_t window_ns = NsOf(bucket.window);
  const std::uint64_t common = std::max<std::uint64_t>(std::gcd(bucket.refill, window_ns), 1);
  if (window_ns / common % kSecondNs == 0) {
    return fmt::format("{} each {}", CountText(bucket.refill / common),
                       DurationText(window_ns / common));
  }
  return fmt::format("{} each {}", CountText(bucket.refill), DurationText(window_ns));
}

}  // namespace

std::string DurationText(std::uint64_t ns) {
  constexpr std::array<std::pair<std::uint64_t, const char*>, 7> kUnits = {{
      {86'400'000'000'000, "d"},
      {3'600'000'000'000, "h"},
      {60'000'000'000, "m"},
      {1'000'000'000, "s"},
      {1'000'000, "ms"},
      {1'000, "us"},
      {1, "ns"},
  }};
  for (const auto& [unit_ns, name] : kUnits) {
    if (ns >= unit_ns && ns % unit_ns == 0) return fmt::format("{}{}", ns / unit_ns, name);
  }
  return "0s";
}

std::string CountText(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  return text;
}

std::string BytesText(std::uint64_t bytes) {
  constexpr std::uint64_t kKiB = 1024;
  constexpr std::array<const char*, 4> kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / kKiB;
  std::size_t unit = 0;
  while (value >= kKiB && unit + 1 < kUnits.size()) {
    value /= kKiB;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string ServersText(const policy::Upstream& upstream) {
  std::string text;
  for (const policy::UpstreamServer& server : upstream.servers) {
    if (!text.empty()) text += ", ";
    if (!server.socket_path.empty()) {
      text += "unix:" + server.socket_path;
      continue;
    }
    const bool v6 = server.host.find(':') != std::string::npos;
    text += fmt::format("{}://{}:{}", server.tls ? "https" : "http",
                        v6 ? "[" + server.host + "]" : server.host, server.port);
  }
  return text;
}

std::string_view ModeText(policy::Mode mode) {
  switch (mode) {
    case policy::Mode::kOff:
      return "off";
    case policy::Mode::kObserve:
      return "observe";
    case policy::Mode::kEnforce:
      return "enforce";
  }
  return "unknown";
}

std::string LimitText(const policy::RuleLimit& limit) {
  const Limit& written = limit.written;
  std::string quota = CountText(written.quota);
  const std::string window = DurationText(NsOf(written.window));
  switch (written.algorithm) {
    case Algorithm::kSlidingWindow:
      return fmt::format("{} in any {}", quota, window);
    case Algorithm::kTokenBucket:
      return fmt::format("a burst of {}, refilled by {}", quota, RefillText(written));
    case Algorithm::kFixedWindow:
      return fmt::format("{} in each calendar window of {} (UTC)", quota,
                         DurationText(limit.limit.window_ns()));
    case Algorithm::kConcurrency:
      return fmt::format("{} request{} at the same time", quota, written.quota == 1 ? "" : "s");
  }
  return quota;
}

}  // namespace sluicegate::app
