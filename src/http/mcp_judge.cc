#include "http/mcp_judge.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "http/mcp_words.h"
#include "http/request_reader.h"
#include "wire/mcp_answer.h"

namespace sluicegate::http {
namespace {

using wire::McpMessage;

// The revisions with sessions. Whatever else a header names is newer.
constexpr std::array<std::string_view, 4> kSessionRevisions = {"2024-11-05", "2025-03-26",
                                                               "2025-06-18", "2025-11-25"};

bool IsSessionRevision(std::string_view revision) {
  return revision.empty() ||
         std::ranges::find(kSessionRevisions, revision) != kSessionRevisions.end();
}

// How a header says what it cannot hold bare: `=?base64?...?=`.
void AppendEncoded(std::string_view text, std::string& out) {
  out += "=?base64?";
  const std::size_t begin = out.size();
  out.resize(begin + (text.size() + 2) / 3 * 4 + 1);  // With the NUL that OpenSSL writes.
  const int written = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data() + begin),
                                        reinterpret_cast<const unsigned char*>(text.data()),
                                        static_cast<int>(text.size()));
  out.resize(begin + static_cast<std::size_t>(written));
  out += "?=";
}

}  // namespace

// What a header says that the body does not; empty: they agree. A header that is absent says
// nothing: the server demands what its revision demands.
std::string_view McpJudge::Mismatch(const McpMessage& message,
                                    std::span<const wire::Field> fields) {
  const FieldLines version = FindLines(fields, "mcp-protocol-version");
  const bool both = version.count > 0 && !message.protocol_version.empty();
  if (version.count > 1 || (both && version.value != message.protocol_version)) {
    return "The header MCP-Protocol-Version does not say the revision that the body says in _meta. "
           "Send the same in both.";
  }
  const FieldLines method = FindLines(fields, "mcp-method");
  if (method.count > 1 || (method.count == 1 && method.value != message.method)) {
    return "The header Mcp-Method does not say the body's method. Send the same in both.";
  }
  const FieldLines name = FindLines(fields, "mcp-name");
  if (name.count == 0 || message.name.empty()) return {};
  if (name.count == 1 && name.value == message.name) return {};
  encoded_.clear();
  AppendEncoded(message.name, encoded_);
  if (name.count == 1 && name.value == encoded_) return {};
  return "The header Mcp-Name does not say the body's name or uri. Send the same in both.";
}

std::optional<McpAnswer> McpJudge::Read(std::string_view text, const policy::Policy& policy,
                                        std::span<const wire::Field> fields) {
  messages_ = {};
  const auto read = reader_.Read(text, policy.asked_arguments());
  McpAnswer answer{.status = 400, .body = {}};
  if (!read) {
    wire::AppendMcpError(read.error().id, read.error().code, read.error().message, answer.body);
    return answer;
  }
  messages_ = *read;
  modern_ = !IsSessionRevision(FindLines(fields, "mcp-protocol-version").value);
  for (const McpMessage& message : messages_) {
    modern_ = modern_ || !message.protocol_version.empty();
    if (message.kind == McpMessage::Kind::kResponse) continue;
    const std::string_view mismatch = Mismatch(message, fields);
    if (mismatch.empty()) continue;
    const bool tell = message.kind == McpMessage::Kind::kRequest && !reader_.is_batch();
    wire::AppendMcpError(tell ? message.id : "null", wire::kMcpHeaderMismatch, mismatch,
                         answer.body);
    return answer;
  }
  return std::nullopt;
}

std::optional<Decision> McpJudge::Decide(engine::Engine& engine, const engine::Ruleset& rules,
                                         const Request& sender, Now now,
                                         std::vector<Stamp>& leases) {
  const policy::Mcp& mcp = rules.policy().settings().mcp;
  requests_.assign(messages_.size(), sender);
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    const McpMessage& message = messages_[i];
    Request& request = requests_[i];
    request.mcp_method = message.method;
    request.mcp_class = mcp.ClassOf(message.method);
    request.places_only = request.mcp_class == McpClass::kStream;
    if (message.method != "tools/call") continue;
    request.mcp_tool = message.name;
    request.mcp_arguments = message.arguments;
    request.mcp_arguments_text = message.arguments_text;
  }
  return engine.DecideAll(rules, requests_, now, leases);
}

McpAnswer McpJudge::Deny(const engine::Ruleset& rules, const Decision& decision) const {
  const policy::Mcp& mcp = rules.policy().settings().mcp;
  McpDenial denial = DenialNumbers(rules, decision);
  McpAnswer answer{.status = 202, .body = {}};
  for (const McpMessage& message : messages_) {
    // Who sends what wants no answer gets none: at any other status clients end their session.
    if (message.kind != McpMessage::Kind::kRequest) continue;
    const bool call = message.method == "tools/call";
    const std::string text =
        DenialText(rules, decision, WhatIsAsked(message.method, call ? message.name : ""));
    denial.text = text;
    if (reader_.is_batch()) answer.body += answer.body.empty() ? '[' : ',';
    if (call && mcp.tool_results) {
      wire::AppendToolDenial(message.id, denial, modern_, answer.body);
      if (answer.status == 202) answer.status = 200;
    } else {
      wire::AppendErrorDenial(message.id, denial, mcp.code, answer.body);
      answer.status = mcp.status;
    }
  }
  if (reader_.is_batch() && !answer.body.empty()) answer.body += ']';
  return answer;
}

void McpJudge::Count(engine::ToolStatistics& tools, bool denied, Now now) const {
  for (const McpMessage& message : messages_) {
    if (message.method == "tools/call") tools.Count(message.name, denied, now);
  }
}

}  // namespace sluicegate::http
