#include "admin/routes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "admin/metrics.h"
#include "admin/status.h"
#include "admin/tools.h"

namespace sluicegate::admin {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kProblem = "application/problem+json";

enum class Page : std::uint8_t { kHealth, kReadiness, kMetrics, kStatus, kReload, kTools, kTool };
constexpr std::string_view kReads = "GET, HEAD";
constexpr std::string_view kReadsOrDeletes = "GET, HEAD, DELETE";
struct Route {
  std::string_view path;  // With a slash at the end: and whatever follows it.
  Page page;
  std::string_view allow;
};
constexpr std::array kRoutes = {
    Route{.path = "/healthz", .page = Page::kHealth, .allow = kReads},
    Route{.path = "/readyz", .page = Page::kReadiness, .allow = kReads},
    Route{.path = "/metrics", .page = Page::kMetrics, .allow = kReads},
    Route{.path = "/api/v1/status", .page = Page::kStatus, .allow = kReads},
    Route{.path = "/api/v1/reload", .page = Page::kReload, .allow = "POST"},
    Route{.path = "/api/v1/tools", .page = Page::kTools, .allow = kReadsOrDeletes},
    Route{.path = "/api/v1/tools/", .page = Page::kTool, .allow = kReadsOrDeletes},
};

const Route* FindRoute(std::string_view path) {
  const auto* const route = std::ranges::find_if(kRoutes, [path](const Route& each) {
    return each.path.ends_with('/') ? path.starts_with(each.path) : path == each.path;
  });
  return route == kRoutes.end() ? nullptr : route;
}

bool Allows(std::string_view allow, std::string_view method) {
  for (;;) {
    const std::size_t comma = std::min(allow.find(", "), allow.size());
    if (allow.substr(0, comma) == method) return true;
    if (comma == allow.size()) return false;
    allow.remove_prefix(comma + 2);
  }
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

Json ProblemJson(unsigned status, std::string_view title, std::string_view detail) {
  return {{"type", "about:blank"}, {"title", title}, {"status", status}, {"detail", detail}};
}

Answer JsonAnswer(std::string body) {
  return {.status = 200, .content_type = std::string(kJson), .fields = {}, .body = std::move(body)};
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
  const Route* const route = FindRoute(call.path);
  if (route == nullptr) {
    return ProblemAnswer(404, "Not Found",
                         "The admin door has GET /healthz, /readyz, /metrics, /api/v1/status, "
                         "/api/v1/tools, POST /api/v1/reload and DELETE /api/v1/tools.");
  }
  if (!Allows(route->allow, call.method)) {
    const std::string allow(route->allow);
    Answer answer = ProblemAnswer(405, "Method Not Allowed", "This path takes " + allow + '.');
    answer.fields = "Allow: " + allow + "\r\n";
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
    case Page::kTools:
      return Tools(call);
    case Page::kTool:
      return Tool(call, call.path.substr(route->path.size()));
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

Answer Routes::Status() { return JsonAnswer(RenderStatus(host_.Read())); }

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
    return JsonAnswer(Dump({{"result", "reloaded"}, {"notes", *result}}));
  }
  Json problem = ProblemJson(422, "Configuration refused",
                             "The configuration has mistakes, so the old policy goes on. Mend what "
                             "'errors' names and reload again.");
  problem["errors"] = result.error();
  return {
      .status = 422, .content_type = std::string(kProblem), .fields = {}, .body = Dump(problem)};
}

Answer Routes::Tools(const Call& call) {
  engine::ToolStatistics& tools = host_.Tools();
  if (call.method != "DELETE") return JsonAnswer(RenderTools(tools.Read()));
  if (std::optional<Answer> refusal = RefuseWrite(call)) return *std::move(refusal);
  tools.ResetAll();
  return JsonAnswer(Dump({{"result", "reset"}}));
}

Answer Routes::Tool(const Call& call, std::string_view escaped_name) {
  const bool resets = call.method == "DELETE";
  std::optional<Answer> refusal = resets ? RefuseWrite(call) : std::nullopt;
  if (refusal) return *std::move(refusal);
  const std::optional<std::string> name = ToolNameOf(escaped_name);
  if (!name) {
    return ProblemAnswer(400, "Bad Request",
                         "The tool's name has a `%` without two hexadecimal digits; write %25 for "
                         "a percent sign.");
  }
  engine::ToolStatistics& tools = host_.Tools();
  const std::optional<ToolReport> report = tools.Read(*name);
  if (!report || (resets && !tools.Reset(*name))) {
    return ProblemAnswer(404, "Not Found",
                         "Nobody has called a tool of that name since the start or the last "
                         "reset. GET /api/v1/tools lists those that were called.");
  }
  return JsonAnswer(resets ? Dump({{"result", "reset"}}) : RenderTool(*report));
}

}  // namespace sluicegate::admin
