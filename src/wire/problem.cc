#include "wire/problem.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>

namespace sluicegate::wire {
namespace {

constexpr std::string_view kTypes = "https://iana.org/assignments/http-problem-types#";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Words {
  std::string_view type;
  std::string_view title;
};

Words WordsOf(const Problem& problem) noexcept {
  switch (problem.type) {
    case ProblemType::kQuotaExceeded:
      return {"quota-exceeded", "Request cannot be satisfied as assigned quota has been exceeded"};
    case ProblemType::kAbnormalUsageDetected:
      return {"abnormal-usage-detected",
              "Request not satisfied due to detection of abnormal request pattern"};
    case ProblemType::kTemporaryReducedCapacity:
      return {"temporary-reduced-capacity",
              "Request cannot be satisfied due to temporary server capacity constraints"};
    case ProblemType::kBlank:
      break;
  }
  return {"", ReasonPhrase(problem.status)};
}

// Bytes of the UTF-8 sequence at the front of `text` (RFC 3629: no surrogates, no overlong forms),
// or 0 if there is none. REQUIRES: !text.empty().
std::size_t SequenceBytes(std::string_view text) noexcept {
  const auto byte = [text](std::size_t i) {
    return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
  };
  const auto tail = [&byte](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const std::uint8_t first = byte(0);
  const std::uint8_t second = byte(1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && second < 0xA0;
    const bool surrogate = first == 0xED && second > 0x9F;
    return !overlong && !surrogate && tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && second < 0x90;
    const bool above = first == 0xF4 && second > 0x8F;
    return !overlong && !above && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void AppendEscaped(char c, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<std::uint8_t>(c);
  if (byte >= 0x20 && byte != 0x7F) {
    out += c;
    return;
  }
  out += "\\u00";
  out += kDigits[byte >> 4U];
  out += kDigits[byte & 0xFU];
}

// Bytes at the front that stand for themselves: nearly always all of them.
std::size_t PlainBytes(std::string_view text) noexcept {
  const auto special = [](char c) { return c < 0x20 || c >= 0x7F || c == '"' || c == '\\'; };
  return static_cast<std::size_t>(std::ranges::find_if(text, special) - text.begin());
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  for (;;) {
    const std::size_t plain = PlainBytes(text);
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::size_t bytes = SequenceBytes(text);
    if (bytes == 1) {
      AppendEscaped(text.front(), out);
    } else if (bytes == 0) {
      out += kReplacement;
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  out += '"';
}

void AppendProblem(const Problem& problem, std::string& out) {
  const Words words = WordsOf(problem);
  out += R"({"type":")";
  if (words.type.empty()) {
    out += "about:blank";
  } else {
    out += kTypes;
    out += words.type;
  }
  out += R"(","title":")";
  out += words.title;  // Of the table above, so nothing to escape.
  out += R"(","status":)";
  std::array<char, 5> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), problem.status).ptr;
  out.append(digits.data(), end);
  if (!problem.detail.empty()) {
    out += R"(,"detail":)";
    AppendJsonString(problem.detail, out);
  }
  if (problem.type == ProblemType::kQuotaExceeded) {
    out += R"(,"violated-policies":[)";
    std::string_view comma;
    for (const std::string_view name : problem.violated_policies) {
      out += comma;
      comma = ",";
      AppendJsonString(name, out);
    }
    out += ']';
  }
  out += '}';
}

std::string_view ReasonPhrase(std::uint16_t status) noexcept {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace sluicegate::wire
