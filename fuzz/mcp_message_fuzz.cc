// Messages of MCP: another parser reads in what is accepted the same method, id, name and
// arguments; reading again, and with other bytes behind the text, gives the same; an id that is
// told is the message's.
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz_target.h"
#include "wire/mcp_message.h"
#include "wire/padded_for_test.h"

using nlohmann::json;
using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

const std::vector<std::string>& AskedNames() {
  static const std::vector<std::string> names = {"limit", "q\"\xC3\xA9", "Kind"};
  return names;
}

// All that was read, to compare.
std::string Told(wire::McpReader& reader, const wire::PaddedText& text) {
  const auto messages = reader.Read(text.view(), AskedNames());
  json out = json::array({reader.is_batch()});
  if (!messages) {
    const wire::McpFault& fault = messages.error();
    out.push_back({fault.code, fault.message, fault.id});
    return out.dump();
  }
  for (const wire::McpMessage& message : *messages) {
    out.push_back({static_cast<int>(message.kind), message.method, message.id, message.name,
                   message.protocol_version, message.answers_back});
    for (const std::string_view argument : message.arguments) out.push_back(argument);
  }
  return out.dump();
}

// The member, or nullptr.
const json* At(const json* object, std::string_view key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto found = object->find(key);
  return found == object->end() ? nullptr : &*found;
}

bool IsString(const json* value, std::string_view wanted) {
  return value != nullptr && value->is_string() && value->get_ref<const std::string&>() == wanted;
}

// `text` is the JSON text of `value`; both may lack.
bool IsTextOf(std::string_view text, const json* value) {
  if (value == nullptr) return text.empty();
  return !text.empty() && json::parse(text, nullptr, false) == *value;
}

bool IsGiven(const json* value) { return value != nullptr && !value->is_null(); }

void Compare(const wire::McpMessage& message, const json& other) {
  using Kind = wire::McpMessage::Kind;
  Require(IsString(At(&other, "jsonrpc"), "2.0"));
  Require(IsTextOf(message.id, At(&other, "id")));
  Require(message.id.size() <= wire::kMaxMcpIdBytes);
  const bool answers = other.contains("result") || other.contains("error");
  Require(answers == (message.kind == Kind::kResponse) && answers != other.contains("method"));
  if (answers) return;
  Require(other.contains("id") == (message.kind == Kind::kRequest));
  Require(IsString(At(&other, "method"), message.method));
  const json* const params = At(&other, "params");
  const bool is_call = message.method == "tools/call";
  if (is_call || message.method == "prompts/get") {
    Require(IsString(At(params, "name"), message.name));
  } else if (message.method == "resources/read") {
    Require(IsString(At(params, "uri"), message.name));
  } else {
    Require(message.name.empty());
  }
  for (std::size_t i = 0; i < AskedNames().size(); ++i) {
    const json* const value = At(At(params, "arguments"), AskedNames()[i]);
    Require(IsTextOf(message.arguments[i], is_call ? value : nullptr));
  }
  const json* const version = At(At(params, "_meta"), "io.modelcontextprotocol/protocolVersion");
  const bool has_version = version != nullptr && version->is_string();
  Require(has_version ? IsString(version, message.protocol_version)
                      : message.protocol_version.empty());
  Require(message.answers_back ==
          (IsGiven(At(params, "inputResponses")) || IsGiven(At(params, "requestState"))));
}

// The other parser refuses numbers beyond double's range, which JSON has not.
bool HasHugeNumber(std::string_view text) {
  try {
    return json::parse(text).is_discarded();  // Never: it throws.
  } catch (const json::out_of_range&) {
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

void CompareAll(std::span<const wire::McpMessage> messages, bool is_batch, std::string_view text) {
  const json other = json::parse(text, nullptr, false);
  if (other.is_discarded()) return Require(HasHugeNumber(text));
  if (!is_batch) {
    Require(messages.size() == 1 && other.is_object());
    return Compare(messages.front(), other);
  }
  Require(other.is_array() && other.size() == messages.size() && !messages.empty());
  Require(messages.size() <= wire::kMaxMcpBatch);
  for (std::size_t i = 0; i < messages.size(); ++i) Compare(messages[i], other[i]);
}

void CompareFault(const wire::McpFault& fault, std::string_view text) {
  Require(!fault.message.empty());
  const bool unknown = fault.id == "null";
  if (fault.code == -32700) {
    Require(unknown);
    // It passes over a byte order mark, and takes a NUL for the end.
    const bool reads_more = text.starts_with("\xEF\xBB\xBF") || text.contains('\0');
    return Require(reads_more || !json::accept(text));
  }
  Require(fault.code == -32600 || fault.code == -32602);
  const json other = json::parse(text, nullptr, false);
  Require(unknown || other.is_discarded() || IsTextOf(fault.id, At(&other, "id")));
}

}  // namespace

SG_FUZZ_TARGET(mcp_message) {
  static wire::McpReader used;
  wire::McpReader fresh;
  const wire::PaddedText text(bytes);
  const std::string told = Told(fresh, text);
  Require(told == Told(used, wire::PaddedText(bytes, "\",1\\[")));

  const auto messages = used.Read(text.view(), AskedNames());
  if (messages) {
    CompareAll(*messages, used.is_batch(), bytes);
  } else {
    CompareFault(messages.error(), bytes);
  }
  Require(told == Told(used, text));
}
