#include "wire/authority.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/ip.h"
#include "wire/http_head.h"
#include "wire/syntax.h"

namespace sluicegate::wire {
namespace {

constexpr std::array<bool, 256> MakeHostTable() noexcept {
  std::array<bool, 256> table{};
  for (unsigned c = 0; c < table.size(); ++c) {
    const auto character = static_cast<char>(c);
    table[c] = syntax::IsDigit(character) || syntax::IsAlpha(character);
  }
  for (const char c : std::string_view("-._~!$&'()*+=;"))
    table[static_cast<std::uint8_t>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kHostTable = MakeHostTable();

bool IsHostCharacter(char c) noexcept { return kHostTable[static_cast<std::uint8_t>(c)]; }

// ":" and digits, or nothing. An empty port is legal (RFC 3986) but servers disagree: refused.
bool IsPortPart(std::string_view part) noexcept {
  constexpr std::size_t kMaxPortDigits = 5;
  if (part.empty()) return true;
  const std::string_view digits = part.substr(1);
  return part.front() == ':' && !digits.empty() && digits.size() <= kMaxPortDigits &&
         std::ranges::all_of(digits, syntax::IsDigit);
}

std::string_view PortOf(std::string_view authority, std::string_view default_port) noexcept {
  const std::size_t host = HostOf(authority).size();
  return host == authority.size() ? default_port : authority.substr(host + 1);
}

}  // namespace

std::string_view HostOf(std::string_view authority) noexcept {
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  return authority.substr(0, authority.find(':', bracket));
}

void AppendRuleHost(std::string_view authority, std::string& out) {
  std::string_view host = HostOf(authority);
  while (host.ends_with('.')) host.remove_suffix(1);
  const std::size_t begin = out.size();
  out.append(host);
  for (char& c : std::span(out).subspan(begin)) c = syntax::ToLower(c);
}

bool IsAuthority(std::string_view authority) noexcept {
  if (authority.starts_with('[')) {
    const std::string_view host = HostOf(authority);
    if (host.back() != ']' || !IsPortPart(authority.substr(host.size()))) return false;
    const std::string_view inside = host.substr(1, host.size() - 2);
    return inside.find(':') != std::string_view::npos && IpAddress::Parse(inside).has_value();
  }
  std::size_t host = 0;  // Its size: up to the colon, which no host has.
  while (host < authority.size() && IsHostCharacter(authority[host])) ++host;
  return host > 0 && IsPortPart(authority.substr(host));
}

bool SameAuthority(std::string_view a, std::string_view b, std::string_view default_port) noexcept {
  return EqualsIgnoreCase(HostOf(a), HostOf(b)) &&
         PortOf(a, default_port) == PortOf(b, default_port);
}

}  // namespace sluicegate::wire
