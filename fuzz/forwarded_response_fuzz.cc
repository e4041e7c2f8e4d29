// What a client gets of an upstream's bytes, read by a second parser: it finds one answer, with the
// same status and body, that is whole exactly if we say so, and no trailer that may not go on. The
// first byte of the input chooses the request's method and version, the others are what the
// upstream sends until it closes.
#include <algorithm>
#include <optional>
#include <string>

#include "fuzz_target.h"
#include "gateway/heads.h"
#include "second_reader.h"
#include "wire/body_end.h"
#include "wire/chunked.h"
#include "wire/hop_by_hop.h"
#include "wire/trailers.h"

using sluicegate::fuzz::ReadMessage;
using sluicegate::fuzz::Require;
using sluicegate::fuzz::SecondReader;
namespace gateway = sluicegate::gateway;
namespace wire = sluicegate::wire;

namespace {

constexpr std::string_view kRequestId = "x-request-id";

/// An answer as the gateway read it, and as its client gets it.
struct Relayed {
  int status = 0;
  std::string head;   // As the gateway wrote it.
  std::string body;   // Without its framing.
  std::string raw;    // The body's bytes as they came, its trailers filtered.
  std::string anew;   // The body's bytes, framed anew.
  bool plain = true;  // In chunks: neither extensions nor trailers.
  bool whole = false;
  bool reset = false;  // Its end would pass for the body's, so it is a reset.
};

// Passes over interim answers. Nothing: the client gets a 502 in its place.
std::optional<wire::ResponseHead> ReadFinal(std::string_view& bytes, bool to_head) {
  for (;;) {
    wire::ResponseParser parser;
    wire::ResponseHead head;
    if (parser.Parse(bytes, to_head, head) != wire::ParseState::kDone) return std::nullopt;
    if (head.status == 101) return std::nullopt;
    bytes.remove_prefix(head.size);
    if (!head.interim()) return head;
  }
}

void ReadChunks(std::string_view raw, Relayed& relayed) {
  wire::ChunkedDecoder decoder;
  for (std::string_view rest = raw; !rest.empty();) {
    const auto step = decoder.Read(rest);
    Require(step.state != wire::ParseState::kRefused);  // BodyEnd kept it back.
    if (!step.payload.empty()) {
      relayed.anew += wire::ChunkHead(step.payload.size()).view();
      relayed.anew += step.payload;
      relayed.anew += wire::kChunkEnd;
      relayed.body += step.payload;
    }
    rest.remove_prefix(step.consumed);
    if (step.state == wire::ParseState::kDone) relayed.anew += wire::kLastChunk;
  }
  // A semicolon or a colon outside the payload begins what a reader may judge in its own way.
  const auto marks = [](std::string_view text) {
    return std::ranges::count(text, ';') + std::ranges::count(text, ':');
  };
  relayed.plain = marks(raw) == marks(relayed.body);
}

std::optional<Relayed> Relay(std::string_view bytes, bool to_head, unsigned client_minor) {
  const auto head = ReadFinal(bytes, to_head);
  if (!head) return std::nullopt;
  wire::BodyEnd end(*head);
  const auto step = end.Advance(bytes);
  const bool chunked = head->framing == wire::Framing::kChunked;
  const bool dechunk = chunked && client_minor == 0;
  Relayed relayed;
  relayed.status = head->status;
  relayed.raw = bytes.substr(0, step.body - step.trailers);
  relayed.whole = step.state == wire::ParseState::kDone ||
                  (step.state == wire::ParseState::kNeedMore && end.DoneAtClose());
  if (step.state == wire::ParseState::kDone && step.trailers > 0) {
    wire::Trailers trailers(*head);
    trailers.Add(bytes.substr(step.body - step.trailers, step.trailers));
    relayed.raw += trailers.Filter(kRequestId);
  }
  if (chunked) {
    ReadChunks(relayed.raw, relayed);
  } else {
    relayed.body = relayed.anew = relayed.raw;
  }
  if (dechunk) relayed.raw = relayed.anew = relayed.body;
  const bool until_close = dechunk || head->framing == wire::Framing::kUntilClose;
  relayed.reset = until_close && !relayed.whole;
  gateway::AppendClientHead({.head = *head,
                             .quota = {.lines = "RateLimit: \"a\";r=1;t=1\r\n",
                                       .x_ratelimit = "X-RateLimit-Limit: 1\r\n",
                                       .draft03 = "",
                                       .remaining = 1},
                             .date = head->Find("date") ? "" : "Fri, 27 Nov 2026 00:00:00 GMT",
                             .request_id_header = kRequestId,
                             .request_id = "1",
                             .chunked = chunked && !dechunk,
                             .keep_alive = !until_close,
                             .client_minor = client_minor},
                            relayed.head);
  return relayed;
}

void CheckFields(const ReadMessage& read) {
  unsigned framing = 0;
  unsigned connection = 0;
  for (const auto& [name, value] : read.fields) {
    if (wire::EqualsIgnoreCase(name, "connection")) {
      ++connection;
      Require(value == "close" || value == "keep-alive");
    } else if (wire::EqualsIgnoreCase(name, "transfer-encoding")) {
      ++framing;
      Require(value == "chunked");
    } else {
      Require(!wire::IsHopByHop(name));
      framing += wire::EqualsIgnoreCase(name, "content-length") ? 1U : 0U;
    }
  }
  Require(framing <= 1 && connection <= 1);
  for (const auto& [name, value] : read.trailers) {
    Require(wire::MayTrail(name) && !wire::EqualsIgnoreCase(name, kRequestId));
  }
}

// `body`: the bytes behind the head. True: the reader took them.
bool CheckAs(const Relayed& relayed, const std::string& body, bool to_head) {
  SecondReader reader(HTTP_RESPONSE, to_head);
  if (!reader.Read(relayed.head + body)) return false;
  const bool finished = !relayed.reset && reader.Finish();
  Require(reader.messages().size() == 1);
  const ReadMessage& read = reader.messages().front();
  Require(read.status == relayed.status);
  Require(read.body == relayed.body);
  Require(read.whole == relayed.whole);
  Require(finished == read.whole);
  CheckFields(read);
  return true;
}

}  // namespace

SG_FUZZ_TARGET(forwarded_response) {
  if (bytes.empty()) return;
  const bool to_head = (static_cast<unsigned char>(bytes.front()) & 1U) != 0;
  const unsigned client_minor = (static_cast<unsigned char>(bytes.front()) & 2U) != 0 ? 0 : 1;
  const auto relayed = Relay(bytes.substr(1), to_head, client_minor);
  if (!relayed) return;
  Require(CheckAs(*relayed, relayed->anew, to_head));
  // Of extensions and trailers readers think differently: they may refuse them, and no more.
  Require(CheckAs(*relayed, relayed->raw, to_head) || !relayed->plain);
}
