// Chunked bodies: at once and byte by byte give the same payload; what was decoded, encoded anew,
// decodes to the same.
#include <string>

#include "fuzz_target.h"
#include "wire/chunked.h"

using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

struct Result {
  wire::ParseState state = wire::ParseState::kNeedMore;
  std::size_t consumed = 0;
  std::string payload;
  friend bool operator==(const Result&, const Result&) = default;
};

Result Decode(std::string_view bytes, std::size_t step) {
  wire::ChunkedDecoder decoder;
  Result result;
  while (result.state == wire::ParseState::kNeedMore && result.consumed < bytes.size()) {
    const auto read = decoder.Read(bytes.substr(result.consumed, step));
    Require(read.state != wire::ParseState::kNeedMore || read.consumed > 0);
    result.state = read.state;
    result.consumed += read.consumed;
    result.payload += read.payload;
  }
  Require((result.state == wire::ParseState::kRefused) == static_cast<bool>(decoder.refusal()));
  return result;
}

}  // namespace

SG_FUZZ_TARGET(chunked) {
  const Result whole = Decode(bytes, bytes.size() + 1);
  Require(whole.consumed <= bytes.size());
  Require(Decode(bytes, 1) == whole);
  if (whole.state != wire::ParseState::kDone || whole.payload.empty()) return;
  std::string again(wire::ChunkHead(whole.payload.size()).view());
  again += whole.payload;
  again += wire::kChunkEnd;
  again += wire::kLastChunk;
  const Result decoded = Decode(again, again.size());
  Require(decoded.state == wire::ParseState::kDone && decoded.payload == whole.payload);
}
