// What the gateway forwards of a client's bytes, read by a second parser: it accepts all of it and
// finds the same requests, each with the same method, target and body, and no field that was to be
// dropped. The input is what a client sends on one connection.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "gateway/heads.h"
#include "second_reader.h"
#include "wire/chunked.h"
#include "wire/http_head.h"
#include "wire/path.h"

using sluicegate::fuzz::ReadMessage;
using sluicegate::fuzz::Require;
using sluicegate::fuzz::SecondReader;
namespace gateway = sluicegate::gateway;
namespace policy = sluicegate::policy;
namespace wire = sluicegate::wire;

namespace {

constexpr std::string_view kIdentity = "x-user-id";
constexpr std::string_view kRequestId = "x-request-id";
// Methods that llhttp knows. It refuses all others, so it reads POST in their place.
constexpr std::array<std::string_view, 8> kMethods = {"GET",    "HEAD",    "POST",  "PUT",
                                                      "DELETE", "OPTIONS", "TRACE", "PATCH"};

/// A request as our parser read it.
struct Forwarded {
  std::string method;
  std::string target;
  std::vector<std::string> fields;  // "name: value" of the client's head.
  std::vector<std::string> named;   // What Connection named.
  std::optional<std::uint64_t> max_forwards;
  std::string body;
  bool whole = false;
};

std::string Line(std::string_view name, std::string_view value) {
  return std::string(name).append(": ").append(value);
}

// As servers behind CGI read names.
std::string Folded(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) c = c == '_' ? '-' : wire::syntax::ToLower(c);
  return folded;
}

// One client's connection, as a session and its exchanges treat it.
class Connection {
 public:
  Connection(std::string_view bytes, bool peer_trusted)
      : bytes_(bytes), peer_trusted_(peer_trusted) {}

  void Run() {
    while (Next()) {
    }
  }

  [[nodiscard]] const std::string& out() const { return out_; }
  [[nodiscard]] const std::vector<Forwarded>& requests() const { return requests_; }

 private:
  // Whether another request may follow.
  bool Next() {
    while (bytes_.starts_with("\r\n")) bytes_.remove_prefix(2);
    wire::RequestParser parser;
    wire::RequestHead head;
    if (parser.Parse(bytes_, head) != wire::ParseState::kDone) return false;
    if (head.max_forwards == 0U) return false;  // It goes no further, nor does this test.
    if (IsWebSocket(head))
      return false;  // Another protocol may follow, which is no reader's matter.
    std::string path;
    std::string_view query;
    if (head.form == wire::TargetForm::kAsterisk) {
      path = "*";
    } else {
      const auto rest = wire::NormalizePath(head.path_and_query, path);
      if (!rest) return false;
      query = *rest;
    }
    Keep(head, path + std::string(query));
    AppendHead(head, path, query);
    bytes_.remove_prefix(head.size);
    Forwarded& request = requests_.back();
    request.whole = head.framing == wire::Framing::kChunked
                        ? ForwardChunks(request)
                        : ForwardLength(head.content_length.value_or(0), request);
    return request.whole && head.keep_alive;
  }

  static bool IsWebSocket(const wire::RequestHead& head) {
    return head.upgrade && std::ranges::any_of(head.fields(), [](const wire::Field& field) {
             return Folded(field.name) == "upgrade" && Folded(field.value).contains("websocket");
           });
  }

  void Keep(const wire::RequestHead& head, const std::string& target) {
    Forwarded& request = requests_.emplace_back();
    request.method = head.method;
    request.target = target;
    request.max_forwards = head.max_forwards;
    for (const wire::Field& field : head.fields()) {
      request.fields.push_back(Line(field.name, field.value));
    }
    for (const std::string_view name : head.connection()) request.named.emplace_back(name);
  }

  void AppendHead(const wire::RequestHead& head, std::string_view path, std::string_view query) {
    std::string text;
    gateway::AppendUpstreamHead({.head = head,
                                 .path = path,
                                 .query = query,
                                 .authority = "upstream.test:8000",
                                 .peer = "192.0.2.7",
                                 .client = "198.51.100.9",
                                 .peer_trusted = peer_trusted_,
                                 .forwarded = policy::ForwardedSource::kXForwardedFor,
                                 .identity_header = kIdentity,
                                 .request_id_header = kRequestId,
                                 .request_id = "0123456789abcdef"},
                                text);
    std::string& method = requests_.back().method;
    Require(text.starts_with(method + " "));
    if (std::ranges::find(kMethods, method) == kMethods.end()) {
      text.replace(0, method.size(), "POST");
      method = "POST";
    }
    out_ += text;
  }

  bool ForwardLength(std::uint64_t length, Forwarded& request) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(length, bytes_.size()));
    request.body = bytes_.substr(0, size);
    out_ += request.body;
    bytes_.remove_prefix(size);
    return size == length;
  }

  bool ForwardChunks(Forwarded& request) {
    wire::ChunkedDecoder decoder;
    while (!bytes_.empty()) {
      const auto step = decoder.Read(bytes_);
      if (step.state == wire::ParseState::kRefused) return false;
      if (!step.payload.empty()) {
        out_ += wire::ChunkHead(step.payload.size()).view();
        out_ += step.payload;
        out_ += wire::kChunkEnd;
        request.body += step.payload;
      }
      bytes_.remove_prefix(step.consumed);
      if (step.state != wire::ParseState::kDone) continue;
      out_ += wire::kLastChunk;
      return true;
    }
    return false;
  }

  std::string_view bytes_;
  const bool peer_trusted_;
  std::string out_;
  std::vector<Forwarded> requests_;
};

bool IsOwn(std::string_view name) {
  constexpr std::array<std::string_view, 8> kOwn = {
      "Host",     "X-Forwarded-For",  "X-Real-IP",      "X-Forwarded-Proto",
      kRequestId, "X-Forwarded-Host", "Content-Length", "Transfer-Encoding"};
  return std::ranges::find(kOwn, name) != kOwn.end();
}

bool IsOwnVia(std::string_view name, std::string_view value) {
  return name == "Via" && (value == "1.0 sluicegate" || value == "1.1 sluicegate");
}

// What must never go on as the client sent it, by what doc/gateway.md says.
bool EndsHere(std::string_view name, bool peer_trusted) {
  constexpr std::array<std::string_view, 13> kNever = {
      "connection", "keep-alive", "proxy-connection", "proxy-authorization",
      "te",         "trailer",    "http2-settings",   "upgrade",
      "expect",     "host",       "content-length",   "transfer-encoding",
      "x-real-ip"};
  const std::string folded = Folded(name);
  if (std::ranges::find(kNever, folded) != kNever.end() || folded == "forwarded") return true;
  const bool guarded = folded.starts_with("x-forwarded-") || folded == kIdentity;
  if (folded == kRequestId) return true;
  return guarded && (!peer_trusted || name.contains('_') || folded == "x-forwarded-for");
}

void CheckFields(const ReadMessage& read, const Forwarded& sent, bool peer_trusted) {
  constexpr std::array<std::string_view, 5> kAlways = {"host", "x-forwarded-for", "x-real-ip",
                                                       "x-request-id", "x-forwarded-proto"};
  std::array<unsigned, kAlways.size()> counts{};
  unsigned framing = 0;
  for (const auto& [name, value] : read.fields) {
    const std::string folded = Folded(name);
    const auto* const always = std::ranges::find(kAlways, folded);
    if (always != kAlways.end()) ++counts[static_cast<std::size_t>(always - kAlways.begin())];
    if (folded == "content-length" || folded == "transfer-encoding") ++framing;
    const std::string line = Line(name, value);
    const bool from_client = std::ranges::find(sent.fields, line) != sent.fields.end();
    if (IsOwn(name) || IsOwnVia(name, value)) continue;
    if (sent.max_forwards && folded == "max-forwards" && name.contains('-')) {
      Require(value == std::to_string(*sent.max_forwards - 1));
      continue;
    }
    Require(from_client && !EndsHere(name, peer_trusted));
  }
  // A trusted peer may repeat X-Forwarded-Proto; nobody else may repeat any of them.
  for (std::size_t i = 0; i < counts.size(); ++i) {
    Require(counts[i] == 1 || (peer_trusted && kAlways[i] == "x-forwarded-proto" && counts[i] > 0));
  }
  Require(framing <= 1);
  // What the client named, and nobody relies on, is gone.
  for (const std::string& name : sent.named) {
    if (!Folded(name).starts_with("x-hop")) continue;
    for (const auto& field : read.fields) Require(!wire::EqualsIgnoreCase(field.name, name));
  }
}

void Check(std::string_view bytes, bool peer_trusted) {
  Connection connection(bytes, peer_trusted);
  connection.Run();
  SecondReader reader(HTTP_REQUEST);
  Require(reader.Read(connection.out()));
  Require(reader.messages().size() == connection.requests().size());
  for (std::size_t i = 0; i < reader.messages().size(); ++i) {
    const ReadMessage& read = reader.messages()[i];
    const Forwarded& sent = connection.requests()[i];
    Require(read.method == sent.method);
    Require(read.target == sent.target);
    Require(read.body == sent.body);
    Require(read.whole == sent.whole);
    CheckFields(read, sent, peer_trusted);
  }
}

}  // namespace

SG_FUZZ_TARGET(forwarded_request) {
  Check(bytes, false);
  Check(bytes, true);
}
