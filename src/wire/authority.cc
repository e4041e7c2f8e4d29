#include "wire/authority.h"

#include <algorithm>

#include "base/ip.h"
#include "wire/http_head.h"
#include "wire/syntax.h"

namespace sluicegate::wire {
namespace {

bool IsHostCharacter(char c) noexcept {
  return syntax::IsDigit(c) || syntax::IsAlpha(c) ||
         std::string_view("-._~!$&'()*+=;").find(c) != std::string_view::npos;
}

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
  for (const char c : host) out += syntax::ToLower(c);
}

bool IsAuthority(std::string_view authority) noexcept {
  const std::string_view host = HostOf(authority);
  if (host.empty() || !IsPortPart(authority.substr(host.size()))) return false;
  if (host.front() == '[') {
    if (host.back() != ']') return false;
    const std::string_view inside = host.substr(1, host.size() - 2);
    return inside.find(':') != std::string_view::npos && IpAddress::Parse(inside).has_value();
  }
  return std::ranges::all_of(host, IsHostCharacter);
}

bool SameAuthority(std::string_view a, std::string_view b, std::string_view default_port) noexcept {
  return EqualsIgnoreCase(HostOf(a), HostOf(b)) &&
         PortOf(a, default_port) == PortOf(b, default_port);
}

}  // namespace sluicegate::wire
