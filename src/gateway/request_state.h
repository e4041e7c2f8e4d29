// RequestState: what a request that is worked on needs, and a connection between two does not. Its
// strings keep their room from request to request, so a loop has some to lend (RequestStates).
// Bound to one loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/access_record.h"
#include "gateway/free_list.h"
#include "http/quota_fields.h"
#include "http/request_reader.h"
#include "sluicegate/decision.h"
#include "wire/chunked.h"
#include "wire/http_head.h"

namespace sluicegate::gateway {

struct RequestState {
  wire::RequestHead head;
  http::RequestReader reader;
  std::string path;  ///< Normalised.
  std::string folded_path;
  std::string request_id;
  http::QuotaLines quota;
  std::vector<Stamp> leases;  ///< That it holds.
  std::string chunks;         ///< What a message in chunks says, while it is read.
  wire::ChunkedDecoder dechunker;
  std::string out;                       ///< What goes to the client.
  std::string upstream_head;             ///< What goes to the upstream.
  std::unique_ptr<AccessRecord> access;  ///< Once one was noted.
  std::uint64_t sent_before = 0;         ///< What the client had got when it was begun.
  bool access_begun = false;             ///< It is of this request.
};

class RequestStates {
 public:
  [[nodiscard]] std::unique_ptr<RequestState> Take() { return free_.Take(); }
  /// REQUIRES: it holds no leases.
  void Return(std::unique_ptr<RequestState> state);

 private:
  static constexpr std::size_t kMostBytes = std::size_t{64} * 1024;  // Of a string that is kept.
  FreeList<RequestState, 256> free_;
};

}  // namespace sluicegate::gateway
