// RequestReader: a request's head as rules see it, with a client and a user that it could not
// choose. Keeps its room from request to request. Bound to one thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "identity/identities.h"
#include "identity/token_cache.h"
#include "policy/policy.h"
#include "policy/request.h"
#include "sluicegate/time.h"
#include "wire/client_address.h"
#include "wire/syntax.h"

namespace sluicegate::http {

/// What a door read. Views that outlive the call.
struct Head {
  const IpAddress& peer;
  std::string_view method;
  std::string_view path;       ///< Normalised (wire/path.h), without the query.
  std::string_view authority;  ///< As sent: the host, and a port or none.
  std::span<const wire::Field> fields;
};

/// Who vouches for a user, and when. Without files nobody does.
struct Vouchers {
  const identity::Identities* known = nullptr;
  identity::TokenCache* verified = nullptr;  ///< REQUIRES: not null, if `known` has tokens.
  Now now;
};

/// The lines of one field: how many, and the last one's value.
struct FieldLines {
  std::string_view value;
  unsigned count = 0;
};
/// Pure.
[[nodiscard]] FieldLines FindLines(std::span<const wire::Field> fields, std::string_view name);

/// The value of a field that is there exactly once, else "". Pure.
[[nodiscard]] std::string_view OnlyValue(std::span<const wire::Field> fields,
                                         std::string_view name);

class RequestReader {
 public:
  /// The request: views into `head`, `vouchers` and this, until the next call.
  [[nodiscard]] Request Read(const policy::Policy& policy, const Vouchers& vouchers,
                             const Head& head);
  /// Of the request that was read last.
  [[nodiscard]] const wire::ClientAddress& client() const noexcept { return client_; }

 private:
  void ReadIdentity(const policy::Identity& settings, const Vouchers& vouchers,
                    std::span<const wire::Field> fields, Request& request) const;

  wire::ClientAddress client_;
  std::string host_;
  std::vector<std::string_view> asked_headers_;
};

}  // namespace sluicegate::http
