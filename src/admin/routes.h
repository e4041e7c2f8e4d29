// Routes: what the admin door answers to which path, apart from any socket. Not thread-safe: bound
// to the admin door's loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "admin/host.h"

namespace sluicegate::admin {

/// A request as the routes need it. Views: the caller keeps the bytes alive for the call.
struct Call {
  std::string_view method;
  std::string_view path;                          ///< Without the query.
  std::optional<std::string_view> authorization;  ///< The field's value, if there is exactly one.
};

struct Answer {
  unsigned status = 200;
  std::string content_type;
  std::string fields;  ///< Further fields, each with its CRLF.
  std::string body;
};

class Routes {
 public:
  /// REQUIRES: `host` outlives this object.
  explicit Routes(Host& host) : host_(host) {}

  [[nodiscard]] Answer Handle(const Call& call);

  /// Requests to write without the right token, since the start.
  [[nodiscard]] std::uint64_t unauthorized() const noexcept { return unauthorized_; }

 private:
  [[nodiscard]] Answer Health() const;
  [[nodiscard]] Answer Readiness();
  [[nodiscard]] Answer Metrics();
  [[nodiscard]] Answer Status();
  [[nodiscard]] Answer Reload(const Call& call);
  [[nodiscard]] Answer Tools(const Call& call);
  [[nodiscard]] Answer Tool(const Call& call, std::string_view escaped_name);
  [[nodiscard]] std::optional<Answer> RefuseWrite(const Call& call);

  Host& host_;
  std::uint64_t unauthorized_ = 0;
};

/// An answer of type application/problem+json (RFC 9457).
[[nodiscard]] Answer ProblemAnswer(unsigned status, std::string_view title,
                                   std::string_view detail);

}  // namespace sluicegate::admin
