#include "wire/mcp_answer.h"

#include "base/json_string.h"

namespace sluicegate::wire {
namespace {

void Begin(std::string_view id, std::string& out) {
  out += R"({"jsonrpc":"2.0","id":)";
  out += id;
}

void AppendError(std::string_view id, int code, std::string_view message, std::string& out) {
  Begin(id, out);
  out += R"(,"error":{"code":)";
  out += std::to_string(code);
  out += R"(,"message":)";
  AppendJsonString(message, out);
}

}  // namespace

void AppendToolDenial(std::string_view id, const McpDenial& denial, bool modern, std::string& out) {
  Begin(id, out);
  out += R"(,"result":)";
  AppendToolResult(denial, modern, out);
  out += '}';
}

void AppendErrorDenial(std::string_view id, const McpDenial& denial, int code, std::string& out) {
  AppendError(id, code, denial.text, out);
  out += R"(,"data":)";
  AppendDenialNumbers(denial, out);
  out += "}}";
}

void AppendMcpError(std::string_view id, int code, std::string_view message, std::string& out) {
  AppendError(id, code, message, out);
  out += "}}";
}

}  // namespace sluicegate::wire
