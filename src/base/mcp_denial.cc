#include "base/mcp_denial.h"

#include "base/json_string.h"

namespace sluicegate {
namespace {

void AppendMember(std::string_view name, std::uint64_t value, std::string& out) {
  if (!out.ends_with('{')) out += ',';
  AppendJsonString(name, out);
  out += ':';
  out += std::to_string(value);
}

}  // namespace

void AppendToolResult(const McpDenial& denial, bool modern, std::string& out) {
  out += '{';
  if (modern) out += R"("resultType":"complete",)";
  out += R"("content":[{"type":"text","text":)";
  AppendJsonString(denial.text, out);
  out += R"(}],"isError":true,"_meta":{"sluicegate/rateLimit":)";
  AppendDenialNumbers(denial, out);
  out += "}}";
}

void AppendDenialNumbers(const McpDenial& denial, std::string& out) {
  out += '{';
  if (denial.retry_after_s) AppendMember("retryAfterSeconds", *denial.retry_after_s, out);
  if (!denial.policy.empty()) {
    AppendMember("limit", denial.quota, out);
    AppendMember("remaining", denial.remaining, out);
    if (denial.window_s) AppendMember("window", *denial.window_s, out);
    out += R"(,"policy":)";
    AppendJsonString(denial.policy, out);
  }
  out += '}';
}

}  // namespace sluicegate
