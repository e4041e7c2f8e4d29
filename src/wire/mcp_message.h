// Messages of the Model Context Protocol: JSON-RPC 2.0 as text, checked in full and read as far as
// limits need it. Both eras: up to 2025-11-25 with sessions, and 2026-07-28 without.
//
// The text goes on to a server's own parser byte for byte, so none may read another message there:
// what parsers disagree on, keys that repeat above all, is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/json_walk.h"

namespace sluicegate::wire {

/// Bytes that must be readable, and may hold anything, behind a message's text.
inline constexpr std::size_t kMcpPadding = kJsonPadding;

/// Bounds; what is beyond is refused with -32600. So is nesting beyond kMaxJsonDepth.
inline constexpr std::size_t kMaxMcpIdBytes = 256;  ///< As JSON text.
inline constexpr std::size_t kMaxMcpBatch = 20;     ///< Messages in one array.

/// Buffers for longer texts are let go of: the tokens' at once, the strings' with the next text.
inline constexpr std::size_t kMaxMcpKeptBytes = std::size_t{1024} * 1024;

/// One message: views into its text and its reader, until the reader's next call.
struct McpMessage {
  enum class Kind : std::uint8_t { kRequest, kNotification, kResponse };

  Kind kind = Kind::kRequest;
  std::string_view method;  ///< Escapes undone. Empty: a response.

  /// JSON text exactly as sent: `7`, `1.0`, `"a\u0062"`. Empty: none. `null`: of an error
  /// response only.
  std::string_view id;

  /// What is called: params.name of tools/call and prompts/get, params.uri of resources/read;
  /// escapes undone. Empty: of another method.
  std::string_view name;

  /// params._meta["io.modelcontextprotocol/protocolVersion"], escapes undone; not initialize's
  /// params.protocolVersion. Empty: there is none, or it is no string.
  std::string_view protocol_version;

  /// params holds an inputResponses or a requestState that is not null, as a later round of a
  /// request of many rounds (2026-07-28) does. Only the client says so.
  bool answers_back = false;

  /// Of tools/call: params.arguments as JSON text exactly as sent. Empty: there are none.
  std::string_view arguments_text;

  /// Of tools/call: params.arguments[NAME] for each name asked for, in that order, as JSON text
  /// exactly as sent. Empty: absent; or another method.
  std::span<const std::string_view> arguments;
};

/// Why a text is refused: what a JSON-RPC error holds.
struct McpFault {
  int code = 0;
  std::string_view message;  ///< What is wrong and the mend; a literal.
  /// JSON text: the message's own id where it has one that is valid, else `null`; of a batch
  /// `null`. A view into the text, or a literal.
  std::string_view id = "null";
  bool has_method = false;  ///< It is no answer: the id is one of the sender's own.
};

/// Reads messages, one text after the other. Bound to one thread. Once its buffers have grown it
/// allocates nothing; up to 1 MiB of text they take at most 6 bytes for each byte of it.
///
/// Refused, with the code of JSON-RPC:
///
///     -32700  what is no JSON: bytes that are no UTF-8, a byte order mark, half a surrogate pair,
///             a text cut short or with bytes behind its end
///     -32600  what is no message of JSON-RPC 2.0, or beyond a bound above, or with a key that
///             decides and comes twice: at the top jsonrpc, id, method, params, result, error; in
///             params name, uri, arguments, _meta, inputResponses, requestState; in tools/call's
///             arguments those asked for; in _meta the protocol's version
///     -32602  params that are no object; tools/call or prompts/get without a name or with
///             arguments that are neither an object nor null; resources/read without a uri; a name
///             or uri with a NUL
///     -32603  there is no memory for it
///
/// A spelling that some parser takes for a key that decides is refused, too: letters in another
/// case (Go's; with U+017F for s and U+212A for k), and a NUL behind it (C's). Letters beyond ASCII
/// in the name of an argument compare exactly.
class McpReader {
 public:
  /// `asked`: names of tools/call's arguments that rules ask for.
  /// REQUIRES: kMcpPadding bytes are readable behind `text`, which is below 4 GiB.
  [[nodiscard]] std::expected<std::span<const McpMessage>, McpFault> Read(
      std::string_view text, std::span<const std::string> asked);

  /// The text read last was an array of messages, which only 2025-03-26 knows.
  [[nodiscard]] bool is_batch() const noexcept { return is_batch_; }

 private:
  class Pass;

  JsonWalk walk_;
  std::vector<McpMessage> messages_;
  std::vector<std::string_view> arguments_;  // Of each message as many as were asked for.
  std::string unescaped_;                    // Of the strings that messages view.
  std::string key_;
  bool is_batch_ = false;
};

}  // namespace sluicegate::wire
