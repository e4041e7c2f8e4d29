#include "wire/path.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "wire/syntax.h"

namespace sluicegate::wire {
namespace {

enum class Kind : std::uint8_t {
  kBare,     // A path may hold it bare: pchar of RFC 3986.
  kEscaped,  // Only as an escape.
  kRefused,  // Not bare.
};

constexpr std::array<Kind, 256> MakeKinds() noexcept {
  std::array<Kind, 256> kinds{};
  for (unsigned c = 0; c < kinds.size(); ++c) {
    const auto character = static_cast<char>(c);
    const bool bare =
        syntax::IsDigit(character) || syntax::IsAlpha(character) ||
        std::string_view("-._~!$&'()*+,;=:@/").find(character) != std::string_view::npos;
    const bool refused = c <= 0x20 || c == 0x7F || character == '\\' || character == '#';
    kinds[c] = bare ? Kind::kBare : refused ? Kind::kRefused : Kind::kEscaped;
  }
  return kinds;
}
constexpr std::array<Kind, 256> kKinds = MakeKinds();

constexpr Kind KindOf(char c) noexcept { return kKinds[static_cast<std::uint8_t>(c)]; }

// An escape of it says the same as the character itself.
constexpr bool IsDecoded(char c) noexcept {
  return KindOf(c) == Kind::kBare && c != ';' && c != '+';
}

constexpr Refusal Bad(std::string_view detail) noexcept {
  return {.status = 400, .detail = detail};
}

void AppendEscape(char c, std::string& out) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<std::uint8_t>(c);
  out += '%';
  out += kDigits[byte >> 4U];
  out += kDigits[byte & 0xFU];
}

// Appends what the escape at the front of `text` stands for.
Refusal AppendUnescaped(std::string_view text, std::string& out) {
  const int high = text.size() < 3 ? -1 : syntax::HexValue(text[1]);
  const int low = text.size() < 3 ? -1 : syntax::HexValue(text[2]);
  if (high < 0 || low < 0) {
    return Bad("The path has a `%` without two hexadecimal digits; write %25 for a percent sign.");
  }
  const auto c = static_cast<char>(high * 16 + low);
  if (c == '/') return Bad("The path has an encoded slash (%2F); send a plain one, or none.");
  if (c == '\\') return Bad("The path has an encoded backslash (%5C); send none.");
  if (c == '\0') return Bad("The path has an encoded NUL (%00); send none.");
  if (IsDecoded(c)) {
    out += c;
  } else {
    AppendEscape(c, out);
  }
  return {};
}

// Appends one segment in its one spelling.
Refusal AppendSegment(std::string_view segment, std::string& out) {
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const char c = segment[i];
    if (c == '%') {
      if (const Refusal refusal = AppendUnescaped(segment.substr(i), out)) return refusal;
      i += 2;
      continue;
    }
    switch (KindOf(c)) {
      case Kind::kBare:
        out += c;
        break;
      case Kind::kEscaped:
        AppendEscape(c, out);
        break;
      case Kind::kRefused:
        return Bad(
            "The path has a backslash, `#`, white space or a control character; "
            "escape or drop it.");
    }
  }
  return {};
}

// "." or ".." with parameters behind it: some servers take those away and then go up.
bool IsDotWithParameters(std::string_view segment) noexcept {
  const std::size_t dots = std::min(segment.find_first_not_of('.'), segment.size());
  if (dots == 0 || dots > 2) return false;
  const std::string_view rest = segment.substr(dots);
  return rest.starts_with(';') || rest.starts_with("%3B");
}

// `out` from `base` on is "/a/b/": what was normalised so far, each segment with a slash behind it.
void RemoveLastSegment(std::size_t base, std::string& out) {
  if (out.size() == base + 1) return;  // Never above the root.
  out.resize(out.rfind('/', out.size() - 2) + 1);
}

Refusal AppendPath(std::string_view path, std::string& out) {
  const std::size_t base = out.size();
  out += '/';
  while (!path.empty()) {
    path.remove_prefix(1);  // The slash.
    const std::size_t size = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, size);
    path.remove_prefix(size);
    const bool last = path.empty();
    const std::size_t begin = out.size();
    if (const Refusal refusal = AppendSegment(segment, out)) return refusal;
    const std::string_view added = std::string_view(out).substr(begin);
    if (IsDotWithParameters(added)) {
      return Bad("The path has a dot segment with parameters (`..;`); send none.");
    }
    if (added == "." || added == "..") {
      const bool up = added.size() == 2;
      out.resize(begin);
      if (up) RemoveLastSegment(base, out);
    } else if (!added.empty() && !last) {
      out += '/';
    }
  }
  return {};
}

// Most paths are normalised as they come: bare characters, no empty and no dot segment.
bool IsNormalized(std::string_view path) noexcept {
  if (!path.starts_with('/')) return false;
  char before = 'x';
  for (const char c : path) {
    if (KindOf(c) != Kind::kBare) return false;
    if (before == '/' && (c == '/' || c == '.')) return false;
    before = c;
  }
  return true;
}

bool IsDisguised(std::string_view method) {
  static constexpr std::string_view kKnown[] = {"GET",     "HEAD",  "POST",  "PUT",    "DELETE",
                                                "OPTIONS", "TRACE", "PATCH", "CONNECT"};
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  if (std::ranges::none_of(method, lower)) return false;
  return std::ranges::any_of(
      kKnown, [method](std::string_view known) { return EqualsIgnoreCase(method, known); });
}

}  // namespace

std::expected<std::string_view, Refusal> NormalizePath(std::string_view path_and_query,
                                                       std::string& out) {
  const std::size_t size = std::min(path_and_query.find('?'), path_and_query.size());
  const std::string_view path = path_and_query.substr(0, size);
  const std::string_view query = path_and_query.substr(size);
  if (IsNormalized(path)) {
    out += path;
    return query;
  }
  if (!path.empty() && path.front() != '/') {
    return std::unexpected(Bad("The path does not begin with `/`; send an absolute path."));
  }
  const std::size_t before = out.size();
  if (const Refusal refusal = AppendPath(path, out)) {
    out.resize(before);
    return std::unexpected(refusal);
  }
  return query;
}

std::expected<std::string_view, Refusal> LocateTarget(const RequestHead& head, std::string& out) {
  if (IsDisguised(head.method)) {
    return std::unexpected(
        Refusal{.status = 501,
                .detail = "Methods are written in capitals. Send POST for post, GET for get."});
  }
  if (head.form != TargetForm::kAsterisk) return NormalizePath(head.path_and_query, out);
  out += '*';
  return std::string_view();
}

}  // namespace sluicegate::wire
