#include "wire/mcp_answer.h"

#include "wire/problem.h"

namespace sluicegate::wire {
namespace {

void Begin(std::string_view id, std::string& out) {
  out += R"({"jsonrpc":"2.0","id":)";
  out += id;
}

void AppendMember(std::string_view name, std::uint64_t value, std::string& out) {
  if (!out.ends_with('{')) out += ',';
  AppendJsonString(name, out);
  out += ':';
  out += std::to_string(value);
}

void AppendError(std::string_view id, int code, std::string_view message, std::string& out) {
  Begin(id, out);
  out += R"(,"error":{"code":)";
  out += std::to_string(code);
  out += R"(,"message":)";
  AppendJsonString(message, out);
}

}  // namespace

void AppendNumbers(const McpDenial& denial, std::string& out) {
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

void AppendToolDenial(const McpDenial& denial, bool modern, std::string& out) {
  Begin(denial.id, out);
  out += R"(,"result":{)";
  if (modern) out += R"("resultType":"complete",)";
  out += R"("content":[{"type":"text","text":)";
  AppendJsonString(denial.text, out);
  out += R"(}],"isError":true,"_meta":{"sluicegate/rateLimit":)";
  AppendNumbers(denial, out);
  out += "}}}";
}

void AppendErrorDenial(const McpDenial& denial, int code, std::string& out) {
  AppendError(denial.id, code, denial.text, out);
  out += R"(,"data":)";
  AppendNumbers(denial, out);
  out += "}}";
}

void AppendMcpError(std::string_view id, int code, std::string_view message, std::string& out) {
  AppendError(id, code, message, out);
  out += "}}";
}

}  // namespace sluicegate::wire
