#include "wire/problem.h"

#include <array>
#include <charconv>

#include "base/json_string.h"

namespace sluicegate::wire {
namespace {

constexpr std::string_view kTypes = "https://iana.org/assignments/http-problem-types#";

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

}  // namespace

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
