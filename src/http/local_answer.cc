#include "http/local_answer.h"

#include <cstdint>

#include "http/quota_fields.h"
#include "wire/rate_limit_fields.h"
#include "wire/syntax.h"

namespace sluicegate::http {
namespace {

// "1796000000.25"
void AppendEpoch(std::int64_t unix_ns, std::string& out) {
  constexpr std::int64_t kSecondNs = 1'000'000'000;
  out += std::to_string(unix_ns / kSecondNs);
  out += '.';
  const std::string millis = std::to_string(1000 + unix_ns % kSecondNs / 1'000'000);
  out += millis.substr(1);
}

}  // namespace

void Deny(const wire::Problem& problem, Now now, LocalAnswer& answer) {
  const Decision& decision = answer.decision;
  answer.status = problem.status;
  answer.fields += "Content-Type: ";
  answer.fields += wire::kProblemContentType;
  answer.fields += "\r\nCache-Control: no-store\r\n";
  wire::AppendProblem(problem, answer.body);
  while (answer.body.ends_with('\n')) answer.body.pop_back();
  answer.body.pop_back();  // The object's end: more members follow.
  answer.body += R"(,"error":"Rate limit exceeded","retry_after":)";
  const auto seconds = wire::RetryAfterSeconds(RetryAfterOf(decision));
  answer.body += seconds ? std::to_string(*seconds) : "null";
  answer.body += R"(,"reset_time":)";
  AppendEpoch(now.unix_ns + static_cast<std::int64_t>(decision.reset_after_ns), answer.body);
  answer.body += '}';
}

LocalAnswer Refused(const wire::Refusal& refusal) {
  LocalAnswer answer;
  answer.status = refusal.status;
  answer.fields = "Content-Type: " + std::string(wire::kProblemContentType) + "\r\n";
  wire::AppendProblem(wire::ProblemOf(refusal), answer.body);
  return answer;
}

std::string EscapedPath(std::string_view path) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  constexpr std::string_view kBare = "/-._~!$&'()*+,;=:@\\";  // A backslash is refused as it is.
  std::string escaped;
  escaped.reserve(path.size());
  for (const char c : path) {
    if (wire::syntax::IsAlpha(c) || wire::syntax::IsDigit(c) ||
        kBare.find(c) != std::string_view::npos) {
      escaped += c;
      continue;
    }
    const auto byte = static_cast<std::uint8_t>(c);
    escaped += '%';
    escaped += kDigits[byte >> 4U];
    escaped += kDigits[byte & 0xFU];
  }
  return escaped;
}

}  // namespace sluicegate::http
