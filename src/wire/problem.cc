#include "wire/problem.h"

#include "base/json_string.h"
#include "base/text_writer.h"

namespace sluicegate::wire {
namespace {

// Type and title of the registered ones, with nothing to escape.
std::string_view BeginningOf(ProblemType type) noexcept {
  switch (type) {
    case ProblemType::kQuotaExceeded:
      return R"({"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",)"
             R"("title":"Request cannot be satisfied as assigned quota has been exceeded")";
    case ProblemType::kAbnormalUsageDetected:
      return R"({"type":"https://iana.org/assignments/http-problem-types#abnormal-usage-detected",)"
             R"("title":"Request not satisfied due to detection of abnormal request pattern")";
    case ProblemType::kTemporaryReducedCapacity:
      return R"({"type":"https://iana.org/assignments/http-problem-types#)"
             R"(temporary-reduced-capacity",)"
             R"("title":"Request cannot be satisfied due to temporary server capacity constraints")";
    case ProblemType::kBlank:
      break;
  }
  return R"({"type":"about:blank","title":)";
}

}  // namespace

void AppendProblem(const Problem& problem, std::string& out) {
  if (!problem.body.empty()) {
    out += problem.body;
    return;
  }
  constexpr std::size_t kAbout = 320;  // The longest beginning and some names of limits.
  TextWriter text(out, kAbout + problem.detail.size());
  text.Put(BeginningOf(problem.type));
  if (problem.type == ProblemType::kBlank) PutJsonString(ReasonPhrase(problem.status), text);
  text.Put(R"(,"status":)");
  text.PutNumber(problem.status);
  if (!problem.detail.empty()) {
    text.Put(R"(,"detail":)");
    PutJsonString(problem.detail, text);
  }
  if (problem.type == ProblemType::kQuotaExceeded) {
    text.Put(R"(,"violated-policies":[)");
    std::string_view comma;
    for (const std::string_view name : problem.violated_policies) {
      text.Put(comma);
      comma = ",";
      PutJsonString(name, text);
    }
    text.Put("]");
  }
  text.Put("}");
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
