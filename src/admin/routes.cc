#include "admin/routes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "admin/metrics.h"
#include "admin/status.h"

namespace sluicegate::admin {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kProblem = "application/problem+json";

enum class Page : std::uint8_t { kHealth, kReadiness, kMetrics, kStatus, kReload };
struct Route {
  std::string_view path;
  Page page;
  bool write;
};
constexpr std::array kRoutes = {
    Route{.path = "/healthz", .page = Page::kHealth, .write = false},
    Route{.path = "/readyz", .page = Page::kReadiness, .write = false},
    Route{.path = "/metrics", .page = Page::kMetrics, .write = false},
    Route{.path = "/api/v1/status", .page = Page::kStatus, .write = false},
    Route{.path = "/api/v1/reload", .page = Page::kReload, .write = true},
};

bool MethodFits(const Route& route, std::string_view method) {
  return route.write ? method == "POST" : method == "GET" || method == "HEAD";
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

Json ProblemJson(unsigned status, std::string_view title, std::string_view detail) {
  return {{"type", "about:blank"}, {"title", title}, {"status", status}, {"detail", detail}};
}

/// The token of `Bearer TOKEN`, or nothing. The scheme's case does not matter (RFC 9110).
std::optional<std::string_view> BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  const auto same = [](char lower, char given) {
    return lower == std::tolower(static_cast<unsigned char>(given));
  };
  if (!std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), same)) {
    return std::nullopt;
  }
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

}  // namespace

Answer ProblemAnswer(unsigned status, std::string_view title, std::string_view detail) {
  return {.status = status,
          .content_type = std::string(kProblem),
          .fields = {},
          .body = Dump(ProblemJson(status, title, detail))};
}

Answer Routes::Handle(const Call& call) {
  const auto* const route = std::ranges::find(kRoutes, call.path, &Route::path);
  if (route == kRoutes.end()) {
    return ProblemAnswer(404, "Not Found",
                         "The admin door has GET /healthz, /readyz, /metrics, /api/v1/status and "
                         "POST /api/v1/reload.");
  }
  if (!MethodFits(*route, call.method)) {
    Answer answer =
        ProblemAnswer(405, "Method Not Allowed",
                      route->write ? "This path takes POST." : "This path takes GET and HEAD.");
    answer.fields = route->write ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
    return answer;
  }
  switch (route->page) {
    case Page::kHealth:
      return Health();
    case Page::kReadiness:
      return Readiness();
    case Page::kMetrics:
      return Metrics();
    case Page::kStatus:
      return Status();
    case Page::kReload:
      return Reload(call);
  }
  return Health();
}

Answer Routes::Health() const {
  return {.status = 200, .content_type = std::string(kText), .fields = {}, .body = "ok\n"};
}

Answer Routes::Readiness() {
  const std::expected<void, std::string> ready = host_.Ready();
  if (ready) {
    return {.status = 200, .content_type = std::string(kText), .fields = {}, .body = "ready\n"};
  }
  return ProblemAnswer(503, "Service Unavailable", "Not ready: " + ready.error() + ".");
}

Answer Routes::Metrics() {
  Readings readings = host_.Read();
  readings.families.push_back({.name = "sluicegate_admin_unauthorized_total",
                               .help = "Admin writes refused for want of the right token.",
                               .type = Family::Type::kCounter,
                               .samples = {{{}, static_cast<double>(unauthorized_)}}});
  return {.status = 200,
          .content_type = std::string(kMetricsContentType),
          .fields = {},
          .body = RenderMetrics(readings)};
}

Answer Routes::Status() {
  return {.status = 200,
          .content_type = std::string(kJson),
          .fields = {},
          .body = RenderStatus(host_.Read())};
}

std::optional<Answer> Routes::RefuseWrite(const Call& call) {
  const AdminToken* const token = host_.Token();
  if (token == nullptr) {
    ++unauthorized_;
    return ProblemAnswer(403, "Forbidden",
                         "No admin token is configured, so writes are refused. Write a token to a "
                         "file of mode 0600 and name it in the configuration: admin: {token_file: "
                         "FILE}; then send SIGHUP.");
  }
  const std::optional<std::string_view> presented =
      call.authorization ? BearerToken(*call.authorization) : std::nullopt;
  if (presented && token->Matches(*presented)) return std::nullopt;
  ++unauthorized_;
  Answer answer = ProblemAnswer(
      401, "Unauthorized",
      presented ? "The token is not the one in the admin token file."
                : "Writes need the admin token: send Authorization: Bearer TOKEN, once.");
  answer.fields = presented
                      ? "WWW-Authenticate: Bearer realm=\"sluicegate\", error=\"invalid_token\"\r\n"
                      : "WWW-Authenticate: Bearer realm=\"sluicegate\"\r\n";
  return answer;
}

Answer Routes::Reload(const Call& call) {
  if (std::optional<Answer> refusal = RefuseWrite(call)) return *std::move(refusal);
  const auto result = host_.Reload();
  if (result) {
    return {.status = 200,
            .content_type = std::string(kJson),
            .fields = {},
            .body = Dump({{"result", "reloaded"}, {"notes", *result}})};
  }
  Json problem = ProblemJson(422, "Configuration refused",
                             "The configuration has mistakes, so the old policy goes on. Mend what "
                             "'errors' names and reload again.");
  problem["errors"] = result.error();
  return {
      .status = 422, .content_type = std::string(kProblem), .fields = {}, .body = Dump(problem)};
}

}  // namespace sluicegate::admin
