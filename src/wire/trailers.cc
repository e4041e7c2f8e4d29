#include "wire/trailers.h"

#include <algorithm>
#include <array>
#include <utility>

#include "wire/hop_by_hop.h"

namespace sluicegate::wire {

bool MayTrail(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 19> kNever = {
      "age",      "authorization", "cache-control",   "cookie",
      "date",     "expect",        "expires",         "host",
      "location", "max-forwards",  "pragma",          "proxy-authentication-info",
      "range",    "ratelimit",     "retry-after",     "set-cookie",
      "vary",     "warning",       "www-authenticate"};
  constexpr std::array<std::string_view, 4> kNeverBegun = {"content-", "if-", "ratelimit-",
                                                           "x-ratelimit-"};
  const auto is = [name](std::string_view other) { return EqualsIgnoreCase(name, other); };
  const auto begins = [name](std::string_view prefix) {
    return EqualsIgnoreCase(name.substr(0, prefix.size()), prefix);
  };
  if (IsHopByHop(name) || std::ranges::any_of(kNever, is)) return false;
  return std::ranges::none_of(kNeverBegun, begins) || is("content-digest") || is("content-md5");
}

Trailers::Trailers(const MessageHead& head) {
  if (head.framing != Framing::kChunked) return;
  for (const std::string_view name : head.connection()) {
    const bool option = EqualsIgnoreCase(name, "close") || EqualsIgnoreCase(name, "keep-alive");
    if (!option) named_.emplace_back(name);
  }
}

bool Trailers::GoesOn(std::string_view name, std::string_view own) const noexcept {
  const auto is = [name](std::string_view other) { return EqualsIgnoreCase(name, other); };
  return MayTrail(name) && !is(own) && std::ranges::none_of(named_, is);
}

std::string_view Trailers::Filter(std::string_view own) {
  std::string kept;
  std::string_view rest = section_;
  while (!rest.empty() && !rest.starts_with("\r\n")) {
    const std::string_view line = rest.substr(0, std::min(rest.find('\n'), rest.size() - 1) + 1);
    if (GoesOn(line.substr(0, line.find(':')), own)) kept += line;
    rest.remove_prefix(line.size());
  }
  kept += rest;
  section_ = std::move(kept);
  return section_;
}

}  // namespace sluicegate::wire
