#include "wire/mcp_message.h"

#include <algorithm>
#include <array>
#include <optional>

#include "wire/syntax.h"

namespace sluicegate::wire {
namespace {

using namespace std::string_view_literals;

constexpr McpFault kEmpty{-32700, "The message is empty; send one JSON-RPC 2.0 message."};
constexpr McpFault kByteOrderMark{
    -32700, "The message begins with a byte order mark; send UTF-8 without one."};
constexpr McpFault kNoUtf8{-32700, "The message is not UTF-8 throughout; encode it as UTF-8."};
constexpr McpFault kBadString{
    -32700,
    "A string of the message does not end, or holds a control character; send the whole message, "
    "and control characters as escapes."};
constexpr McpFault kBadEscape{
    -32700,
    "A string of the message has an escape that JSON does not know, or half of a surrogate pair; "
    "mend the escape."};
constexpr McpFault kNoJson{
    -32700,
    "The message is not JSON: it is cut short, has bytes behind its end, or breaks the grammar of "
    "RFC 8259; send one whole JSON value."};
constexpr McpFault kNoMemory{-32603, "There is no memory to read the message; send it later."};

constexpr McpFault kTooDeep{-32600, "The message nests deeper than 64 levels; send it with fewer."};
constexpr McpFault kNoObject{
    -32600,
    "The message, or one of a batch, is not a JSON object; send {\"jsonrpc\":\"2.0\",...}."};
constexpr McpFault kEmptyBatch{-32600, "The batch is empty; send at least one message."};
constexpr McpFault kLongBatch{-32600, "The batch has more than 20 messages; send smaller ones."};
constexpr McpFault kBadVersion{-32600,
                               "jsonrpc is missing or not \"2.0\"; send \"jsonrpc\":\"2.0\"."};
constexpr McpFault kBadMethod{
    -32600, "method is missing, empty, or not a string; send the method's name as a string."};
constexpr McpFault kNulInMethod{
    -32600, "method holds a NUL, and some servers read no further; send it without."};
constexpr McpFault kBadId{-32600,
                          "id is missing in a response, or neither a string nor a number; send one "
                          "of these, and none in a notification."};
constexpr McpFault kLongId{-32600, "id is longer than 256 bytes; send a shorter one."};
constexpr McpFault kBadResponse{
    -32600,
    "The message has more than one of method, result and error; send a request or a response."};
constexpr McpFault kRepeatedKey{
    -32600,
    "A key that decides what the message means comes twice in one object, so servers may read it "
    "differently; send each key once."};
constexpr McpFault kDisguisedKey{
    -32600,
    "A key is one that decides what the message means but for the case of letters or a NUL, and "
    "some servers take it for that; spell it exactly, or rename it."};

constexpr McpFault kBadParams{-32602,
                              "params is not an object; send an object, or leave params out."};
constexpr McpFault kNoName{
    -32602, "params.name is missing, empty, or not a string; send the name of what is called."};
constexpr McpFault kNoUri{
    -32602, "params.uri is missing, empty, or not a string; send the URI of the resource."};
constexpr McpFault kNulInName{
    -32602,
    "params.name or params.uri holds a NUL, and some servers read no further; send it without."};
constexpr McpFault kBadArguments{
    -32602, "params.arguments is not an object; send an object, or leave arguments out."};

constexpr McpFault FaultOf(JsonWalk::Fault fault) noexcept {
  switch (fault) {
    case JsonWalk::Fault::kEmpty:
      return kEmpty;
    case JsonWalk::Fault::kNoUtf8:
      return kNoUtf8;
    case JsonWalk::Fault::kString:
      return kBadString;
    case JsonWalk::Fault::kEscape:
      return kBadEscape;
    case JsonWalk::Fault::kMemory:
      return kNoMemory;
    case JsonWalk::Fault::kGrammar:
    case JsonWalk::Fault::kNone:
      break;
  }
  return kNoJson;
}

// The first character in lower case, taken away: of ASCII, and of the two letters beyond it whose
// other case lies in ASCII. REQUIRES: !text.empty().
char EatFolded(std::string_view& text) noexcept {
  constexpr std::string_view kLongS = "\xC5\xBF";           // U+017F, of which S is a capital.
  constexpr std::string_view kKelvinSign = "\xE2\x84\xAA";  // U+212A, of which k is the small form.
  const char c = text.front();
  const bool is_ascii = static_cast<std::uint8_t>(c) < 0x80;
  const bool long_s = !is_ascii && text.starts_with(kLongS);
  const bool kelvin_sign = !is_ascii && text.starts_with(kKelvinSign);
  text.remove_prefix(long_s ? kLongS.size() : kelvin_sign ? kKelvinSign.size() : 1);
  return long_s ? 's' : kelvin_sign ? 'k' : syntax::ToLower(c);
}

// Some parser takes `key` for `name`.
bool Resembles(std::string_view key, std::string_view name) noexcept {
  while (!key.empty() && !name.empty()) {
    if (EatFolded(key) != EatFolded(name)) return false;
  }
  return name.empty() && (key.empty() || key.front() == '\0');
}

bool IsString(std::string_view json) noexcept { return json.starts_with('"'); }
bool IsNumber(std::string_view json) noexcept {
  return !json.empty() && (json.front() == '-' || syntax::IsDigit(json.front()));
}

// The texts of those of an object's values whose keys decide; empty: absent.
template <std::size_t kCount>
using Values = std::array<std::string_view, kCount>;

enum Top : std::uint8_t { kJsonrpc, kId, kMethod, kParams, kResult, kError };
constexpr std::array kTopKeys{"jsonrpc"sv, "id"sv, "method"sv, "params"sv, "result"sv, "error"sv};

enum Param : std::uint8_t { kName, kUri, kArguments, kMeta, kInputResponses, kRequestState };
constexpr std::array kParamKeys{"name"sv,           "uri"sv,         "arguments"sv, "_meta"sv,
                                "inputResponses"sv, "requestState"sv};

constexpr std::array kMetaKeys{"io.modelcontextprotocol/protocolVersion"sv};

// What was found of one message. Its faults are told when the walk is over, as the id may stand
// last.
struct Found {
  Values<kTopKeys.size()> top;
  Values<kParamKeys.size()> params;
  Values<kMetaKeys.size()> meta;
  const McpFault* fault = nullptr;            // The first one.
  const McpFault* arguments_fault = nullptr;  // The first one that counts for tools/call only.
  bool id_repeats = false;
};

void Note(const McpFault& fault, const McpFault*& first) noexcept {
  if (first == nullptr) first = &fault;
}

// The id that an answer can name.
std::string_view KnownId(const Found& found) noexcept {
  const std::string_view id = found.top[kId];
  const bool valid = (IsString(id) || IsNumber(id)) && id.size() <= kMaxMcpIdBytes;
  return valid && !found.id_repeats ? id : "null";
}

const McpFault* JudgeId(const McpMessage& message, bool is_error) noexcept {
  const bool may_lack = message.kind == McpMessage::Kind::kNotification || is_error;
  if (message.id.empty() && may_lack) return nullptr;
  if (message.id == "null" && is_error) return nullptr;  // Of a request that had no id to be read.
  if (!IsString(message.id) && !IsNumber(message.id)) return &kBadId;
  return message.id.size() > kMaxMcpIdBytes ? &kLongId : nullptr;
}

}  // namespace

// The reading of one text.
class McpReader::Pass {
 public:
  Pass(McpReader& reader, std::string_view text, std::span<const std::string> asked)
      : reader_(reader), walk_(reader.walk_), text_(text), asked_(asked) {}

  // Leaves the messages in the reader.
  std::optional<McpFault> Run();

 private:
  bool Batch();
  bool Message();
  bool Params(Found& found);
  bool Arguments(Found& found);

  // Takes an object, keeping `values` of `keys`; `take_value(key)` takes the value of one of these.
  template <std::size_t kCount, typename TakeValue>
  bool Fields(const std::array<std::string_view, kCount>& keys, Values<kCount>& values,
              const McpFault*& fault, const TakeValue& take_value);

  // nullptr: the message is good, and filled in.
  const McpFault* Judge(const Found& found, McpMessage& message);
  const McpFault* JudgeCall(const Found& found, McpMessage& message);

  std::string_view Key(std::string_view raw);
  std::string_view StringOf(std::string_view json);
  void Refuse(const McpFault& fault, std::string_view id = "null", bool has_method = false);

  // What was asked for of the message read last.
  std::span<std::string_view> Asked() { return std::span(reader_.arguments_).last(asked_.size()); }

  McpReader& reader_;
  JsonWalk& walk_;
  std::string_view text_;
  std::span<const std::string> asked_;
  std::optional<McpFault> fault_;
};

std::optional<McpFault> McpReader::Pass::Run() {
  if (text_.starts_with("\xEF\xBB\xBF")) return kByteOrderMark;
  if (!walk_.Start(text_)) return FaultOf(walk_.fault());
  reader_.is_batch_ = walk_.Peek() == '[';
  if (!(reader_.is_batch_ ? Batch() : Message())) return FaultOf(walk_.fault());
  if (!walk_.AtEnd()) return kNoJson;
  std::size_t at = 0;
  for (McpMessage& message : reader_.messages_) {
    message.arguments = std::span(reader_.arguments_).subspan(at, asked_.size());
    at += asked_.size();
  }
  return fault_;
}

bool McpReader::Pass::Batch() {
  std::size_t count = 0;
  const bool is_json = walk_.Array([this, &count] {
    if (++count <= kMaxMcpBatch) return Message();
    Refuse(kLongBatch);
    return walk_.Value();
  });
  if (count == 0) Refuse(kEmptyBatch);
  return is_json;
}

bool McpReader::Pass::Message() {
  if (walk_.Peek() != '{') {
    Refuse(kNoObject);
    return walk_.Value();
  }
  McpMessage& message = reader_.messages_.emplace_back();
  reader_.arguments_.resize(reader_.arguments_.size() + asked_.size());
  Found found;
  const bool is_json = Fields(kTopKeys, found.top, found.fault, [this, &found](std::size_t key) {
    if (key == kId && !found.top[kId].empty()) found.id_repeats = true;
    return key == kParams && walk_.Peek() == '{' ? Params(found) : walk_.Value();
  });
  if (!is_json) return false;
  if (walk_.too_deep()) Note(kTooDeep, found.fault);
  if (const McpFault* fault = Judge(found, message)) {
    Refuse(*fault, KnownId(found), !found.top[kMethod].empty());
  }
  if (message.method != "tools/call") std::ranges::fill(Asked(), std::string_view());
  return true;
}

template <std::size_t kCount, typename TakeValue>
bool McpReader::Pass::Fields(const std::array<std::string_view, kCount>& keys,
                             Values<kCount>& values, const McpFault*& fault,
                             const TakeValue& take_value) {
  return walk_.Object([&](std::string_view raw_key) {
    const std::string_view key = Key(raw_key);
    const auto found =
        std::ranges::find_if(keys, [key](std::string_view name) { return Resembles(key, name); });
    if (found == keys.end()) return walk_.Value();
    if (key != *found) {
      Note(kDisguisedKey, fault);
      return walk_.Value();
    }
    const auto at = static_cast<std::size_t>(found - keys.begin());
    if (!values[at].empty()) Note(kRepeatedKey, fault);
    const std::size_t mark = walk_.Mark();
    if (!take_value(at)) return false;
    values[at] = walk_.Since(mark);
    return true;
  });
}

bool McpReader::Pass::Params(Found& found) {
  return Fields(kParamKeys, found.params, found.fault, [this, &found](std::size_t key) {
    const bool is_object = walk_.Peek() == '{';
    if (is_object && key == kArguments) return Arguments(found);
    if (is_object && key == kMeta) {
      return Fields(kMetaKeys, found.meta, found.fault,
                    [this](std::size_t) { return walk_.Value(); });
    }
    return walk_.Value();
  });
}

bool McpReader::Pass::Arguments(Found& found) {
  const std::span<std::string_view> values = Asked();
  return walk_.Object([this, &found, values](std::string_view raw_key) {
    std::string_view value;
    if (!walk_.Value(value)) return false;
    const std::string_view key = Key(raw_key);
    bool is_asked = false;
    bool is_disguised = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (key == asked_[i]) {
        is_asked = true;
        if (!values[i].empty()) Note(kRepeatedKey, found.arguments_fault);
        values[i] = value;
      } else if (Resembles(key, asked_[i])) {
        is_disguised = true;
      }
    }
    if (is_disguised && !is_asked) Note(kDisguisedKey, found.arguments_fault);
    return true;
  });
}

const McpFault* McpReader::Pass::Judge(const Found& found, McpMessage& message) {
  const auto& top = found.top;
  if (found.fault != nullptr) return found.fault;
  if (StringOf(top[kJsonrpc]) != "2.0") return &kBadVersion;
  const bool is_error = !top[kError].empty();
  const bool is_response = is_error || !top[kResult].empty();
  if (is_response && (!top[kMethod].empty() || (is_error && !top[kResult].empty()))) {
    return &kBadResponse;
  }
  message.id = top[kId];
  if (is_response) {
    message.kind = McpMessage::Kind::kResponse;
    return JudgeId(message, is_error);
  }
  message.method = StringOf(top[kMethod]);
  if (message.method.empty()) return &kBadMethod;
  if (message.method.contains('\0')) return &kNulInMethod;
  if (message.id.empty()) message.kind = McpMessage::Kind::kNotification;
  if (const McpFault* fault = JudgeId(message, false)) return fault;
  return JudgeCall(found, message);
}

const McpFault* McpReader::Pass::JudgeCall(const Found& found, McpMessage& message) {
  const auto& params = found.params;
  const std::string_view whole = found.top[kParams];
  if (!whole.empty() && whole.front() != '{') return &kBadParams;
  const auto is_given = [](std::string_view json) { return !json.empty() && json != "null"; };
  message.protocol_version = StringOf(found.meta[0]);
  message.answers_back = is_given(params[kInputResponses]) || is_given(params[kRequestState]);
  if (message.method == "resources/read") {
    message.name = StringOf(params[kUri]);
    if (message.name.empty()) return &kNoUri;
    return message.name.contains('\0') ? &kNulInName : nullptr;
  }
  const bool is_tool = message.method == "tools/call";
  if (!is_tool && message.method != "prompts/get") return nullptr;
  message.name = StringOf(params[kName]);
  if (message.name.empty()) return &kNoName;
  if (message.name.contains('\0')) return &kNulInName;
  const std::string_view arguments = params[kArguments];
  if (is_given(arguments) && arguments.front() != '{') return &kBadArguments;
  if (is_tool && is_given(arguments)) message.arguments_text = arguments;
  return is_tool ? found.arguments_fault : nullptr;
}

// A key with its escapes undone, until the next call.
std::string_view McpReader::Pass::Key(std::string_view raw) {
  if (!raw.contains('\\')) return raw;
  reader_.key_.clear();
  return AppendUnescaped(raw, reader_.key_) ? std::string_view(reader_.key_) : raw;
}

// What a string stands for, until the reader's next call. Empty: it is no string.
std::string_view McpReader::Pass::StringOf(std::string_view json) {
  if (!IsString(json)) return {};
  const std::string_view raw = json.substr(1, json.size() - 2);
  if (!raw.contains('\\')) return raw;
  // All strings together are shorter than the text, so what was handed out stays where it is.
  std::string& out = reader_.unescaped_;
  out.reserve(text_.size());
  const std::size_t begin = out.size();
  return AppendUnescaped(raw, out) ? std::string_view(out).substr(begin) : raw;
}

// Of a text the first fault counts. Of a batch no id is told, as none of its messages is carried
// out.
void McpReader::Pass::Refuse(const McpFault& fault, std::string_view id, bool has_method) {
  if (fault_) return;
  fault_ = fault;
  if (reader_.is_batch_) return;
  fault_->id = id;
  fault_->has_method = has_method;
}

std::expected<std::span<const McpMessage>, McpFault> McpReader::Read(
    std::string_view text, std::span<const std::string> asked) {
  messages_.clear();
  arguments_.clear();
  is_batch_ = false;
  for (std::string* const buffer : {&unescaped_, &key_}) {
    buffer->clear();
    if (buffer->capacity() > kMaxMcpKeptBytes) *buffer = std::string();
  }
  const std::optional<McpFault> fault = Pass(*this, text, asked).Run();
  if (text.size() > kMaxMcpKeptBytes) walk_.Release();
  if (fault) return std::unexpected(*fault);
  return messages_;
}

}  // namespace sluicegate::wire
