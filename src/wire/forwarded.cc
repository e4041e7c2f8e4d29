#include "wire/forwarded.h"

#include <algorithm>

#include "wire/client_address.h"
#include "wire/syntax.h"

namespace sluicegate::wire {
namespace {

// Cuts the element that begins behind `comma` (npos: the whole list).
std::string_view CutBehind(std::size_t comma, std::string_view& list) noexcept {
  const std::size_t begin = comma == std::string_view::npos ? 0 : comma + 1;
  const std::string_view element = list.substr(begin);
  list = list.substr(0, begin == 0 ? 0 : comma);
  return syntax::Trim(element);
}

// The quote that opens the quoted string whose closing quote is at `close`, or npos.
std::size_t OpeningQuote(std::string_view text, std::size_t close) noexcept {
  std::size_t at = close;
  while (at > 0) {
    --at;
    if (text[at] != '"') continue;
    std::size_t backslashes = 0;
    while (backslashes < at && text[at - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) return at;
  }
  return std::string_view::npos;
}

struct Pair {
  std::string_view name;
  std::string_view value;  // Without quotes.
};

// Cuts `name=value` off the front of `rest`, the semicolon behind it too. False: malformed.
bool TakePair(std::string_view& rest, Pair& pair) noexcept {
  const std::size_t equals = rest.find('=');
  if (equals == std::string_view::npos) return false;
  pair.name = syntax::Trim(rest.substr(0, equals));
  if (!syntax::IsToken(pair.name)) return false;
  rest.remove_prefix(equals + 1);
  if (rest.starts_with('"')) {
    std::size_t close = 1;
    while (close < rest.size() && rest[close] != '"') close += rest[close] == '\\' ? 2U : 1U;
    if (close >= rest.size()) return false;
    // A backslash stays in it; no address has one, so it makes a node unreadable.
    pair.value = rest.substr(1, close - 1);
    rest = syntax::Trim(rest.substr(close + 1));
    if (rest.empty()) return true;
    if (rest.front() != ';') return false;
    rest.remove_prefix(1);
    return true;
  }
  const std::size_t end = std::min(rest.find(';'), rest.size());
  pair.value = syntax::Trim(rest.substr(0, end));
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return syntax::IsToken(pair.value);
}

// Takes what is a token off the front. False: nothing is.
bool TakeToken(std::string_view& rest) noexcept {
  const auto* const end =
      std::ranges::find_if_not(rest.begin(), rest.end(), [](char c) { return syntax::IsToken(c); });
  const auto size = static_cast<std::size_t>(end - rest.begin());
  rest.remove_prefix(size);
  return size > 0;
}

// Likewise a quoted string.
bool TakeQuoted(std::string_view& rest) noexcept {
  std::size_t at = 1;
  while (at < rest.size() && rest[at] != '"') {
    if (rest[at] == '\\') ++at;  // What it stands before is taken as it is.
    if (at == rest.size() || !syntax::IsFieldValue(rest[at])) return false;
    ++at;
  }
  if (at >= rest.size()) return false;
  rest.remove_prefix(at + 1);
  return true;
}

// Digits, or an obfuscated port of RFC 7239.
bool IsPort(std::string_view port) noexcept {
  constexpr std::size_t kMaxPortDigits = 5;
  if (port.starts_with('_')) return syntax::IsToken(port);
  return !port.empty() && port.size() <= kMaxPortDigits &&
         std::ranges::all_of(port, syntax::IsDigit);
}

}  // namespace

std::string_view TakeLastElement(std::string_view& list) noexcept {
  return CutBehind(list.rfind(','), list);
}

std::string_view TakeLastQuotedElement(std::string_view& list) noexcept {
  for (std::size_t at = list.size(); at > 0;) {
    --at;
    if (list[at] == ',') return CutBehind(at, list);
    if (list[at] != '"') continue;
    const std::size_t open = OpeningQuote(list, at);
    if (open == std::string_view::npos) break;  // Unbalanced: all the rest is one bad element.
    at = open;
  }
  return CutBehind(std::string_view::npos, list);
}

bool IsForwardedList(std::string_view list) noexcept {
  for (;;) {
    list = syntax::Trim(list);
    if (TakeToken(list)) {
      if (!list.starts_with('=')) return false;
      list.remove_prefix(1);
      const bool taken = list.starts_with('"') ? TakeQuoted(list) : TakeToken(list);
      if (!taken) return false;
      list = syntax::Trim(list);
    }
    if (list.empty()) return true;
    if (list.front() != ',' && list.front() != ';') return false;
    list.remove_prefix(1);
  }
}

std::optional<IpAddress> ParseForwardedElement(std::string_view element) noexcept {
  std::optional<std::string_view> node;
  std::string_view rest = syntax::Trim(element);
  while (!rest.empty()) {
    Pair pair;
    if (!TakePair(rest, pair)) return std::nullopt;
    if (!EqualsIgnoreCase(pair.name, "for")) continue;
    if (node) return std::nullopt;
    node = pair.value;
  }
  if (!node) return std::nullopt;
  // A bare IPv6 address is no node of RFC 7239.
  const bool bare_v6 = !node->starts_with('[') && std::ranges::count(*node, ':') > 1;
  return bare_v6 ? std::nullopt : ParseNode(*node);
}

std::optional<IpAddress> ParseNode(std::string_view node) noexcept {
  if (node.starts_with('[')) {
    const std::size_t close = node.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view port = node.substr(close + 1);
    if (!port.empty() && (port.front() != ':' || !IsPort(port.substr(1)))) return std::nullopt;
    const std::string_view inside = node.substr(1, close - 1);
    if (inside.find(':') == std::string_view::npos) return std::nullopt;  // [192.0.2.1]
    return IpAddress::Parse(inside);
  }
  const std::size_t colon = node.find(':');
  if (colon != std::string_view::npos && node.find(':', colon + 1) == std::string_view::npos) {
    if (!IsPort(node.substr(colon + 1))) return std::nullopt;
    node = node.substr(0, colon);
  }
  return IpAddress::Parse(node);
}

}  // namespace sluicegate::wire
