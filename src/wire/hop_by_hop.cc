#include "wire/hop_by_hop.h"

#include <algorithm>
#include <array>

#include "wire/syntax.h"

namespace sluicegate::wire {
namespace {

template <std::size_t N>
bool IsOneOf(std::string_view name, const std::array<std::string_view, N>& names) noexcept {
  return std::ranges::any_of(
      names, [name](std::string_view other) { return EqualsIgnoreCase(name, other); });
}

bool IsKept(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 13> kKept = {
      "host",          "content-length", "content-type", "authorization", "cookie",
      "cache-control", "date",           "set-cookie",   "forwarded",     "x-real-ip",
      "retry-after",   "x-user-id",      "x-api-key"};
  constexpr std::string_view kForwarded = "x-forwarded-";
  return IsOneOf(name, kKept) || EqualsIgnoreCase(name.substr(0, kForwarded.size()), kForwarded);
}

}  // namespace

bool IsHopByHop(std::string_view name) noexcept {
  // Their lengths differ from those of most names, so that most are not compared at all.
  switch (name.size()) {
    case 2:
      return EqualsIgnoreCase(name, "te");
    case 7:
      return EqualsIgnoreCase(name, "trailer") || EqualsIgnoreCase(name, "upgrade");
    case 10:
      return EqualsIgnoreCase(name, "connection") || EqualsIgnoreCase(name, "keep-alive");
    case 14:
      // Asks for h2c together with Upgrade, and not every client names it in Connection.
      return EqualsIgnoreCase(name, "http2-settings");
    case 16:
      return EqualsIgnoreCase(name, "proxy-connection");
    case 17:
      return EqualsIgnoreCase(name, "transfer-encoding");
    case 18:
      return EqualsIgnoreCase(name, "proxy-authenticate");
    case 19:
      return EqualsIgnoreCase(name, "proxy-authorization");
    default:
      return false;
  }
}

bool EndsHere(std::string_view name, std::span<const std::string_view> connection) noexcept {
  if (IsHopByHop(name)) return true;
  const bool named = std::ranges::any_of(
      connection, [name](std::string_view other) { return EqualsIgnoreCase(name, other); });
  return named && !IsKept(name);
}

}  // namespace sluicegate::wire
