#include "app/admin_readings.h"

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "app/words.h"

namespace sluicegate::app {
namespace {

using admin::Family;
using gateway::Event;
using gateway::Statistics;

struct Labelled {
  const char* value;
  Event event;
};

Family Single(std::string name, std::string help, Family::Type type, double value) {
  return {.name = std::move(name),
          .help = std::move(help),
          .type = type,
          .samples = {{.labels = {}, .value = value}}};
}

Family ByLabel(std::string name, std::string help, const char* label,
               std::initializer_list<Labelled> values, const Statistics& statistics) {
  Family family{.name = std::move(name),
                .help = std::move(help),
                .type = Family::Type::kCounter,
                .samples = {}};
  for (const Labelled& labelled : values) {
    family.samples.push_back({.labels = {{label, labelled.value}},
                              .value = static_cast<double>(statistics[labelled.event])});
  }
  return family;
}

}  // namespace

std::vector<admin::RuleInfo> RuleInfos(const policy::Policy& policy) {
  std::vector<admin::RuleInfo> infos;
  for (const policy::Rule& rule : policy.rules()) {
    if (rule.mode() == policy::Mode::kOff) continue;
    admin::RuleInfo& info = infos.emplace_back();
    info.name = rule.name();
    info.mode = ModeText(rule.mode());
    for (const policy::RuleLimit& limit : rule.variants()[0].limits) {
      info.limits.push_back(
          {.name = limit.name,
           .algorithm = std::string(limit::AlgorithmName(limit.limit.algorithm())),
           .quota = limit.limit.quota(),
           .window_seconds = static_cast<double>(limit.limit.window_ns()) / 1e9,
           .lease = limit.limit.algorithm() == Algorithm::kConcurrency});
    }
  }
  return infos;
}

std::vector<Family> GatewayFamilies(const Statistics& statistics) {
  const auto counter = [&](std::string name, std::string help, Event event) {
    return Single(std::move(name), std::move(help), Family::Type::kCounter,
                  static_cast<double>(statistics[event]));
  };
  return {
      counter("sluicegate_gateway_connections_total", "Client connections accepted.",
              Event::kConnections),
      Single("sluicegate_gateway_open_connections", "Client connections that are open.",
             Family::Type::kGauge, static_cast<double>(statistics.open_connections())),
      counter("sluicegate_gateway_requests_total", "Request heads read, refused ones included.",
              Event::kRequests),
      counter("sluicegate_gateway_denied_total", "Requests denied by the policy.", Event::kDenied),
      ByLabel("sluicegate_gateway_responses_total",
              "Responses sent to clients, the gateway's own included.", "code",
              {{"2xx", Event::kResponses2xx},
               {"3xx", Event::kResponses3xx},
               {"4xx", Event::kResponses4xx},
               {"5xx", Event::kResponses5xx}},
              statistics),
      ByLabel("sluicegate_gateway_refusals_total",
              "Requests and connections that the gateway ended by itself.", "reason",
              {{"framing", Event::kRefusedFraming},
               {"body_too_large", Event::kRefusedBody},
               {"message", Event::kRefusedMessages},
               {"slow_header", Event::kHeaderTimeouts},
               {"tls", Event::kHandshakesFailed},
               {"slow_body", Event::kSlowBodies},
               {"slow_reader", Event::kSlowReaders},
               {"connections", Event::kRefusedConnections},
               {"evicted", Event::kEvictedConnections},
               {"idle", Event::kIdleTimeouts}},
              statistics),
      counter("sluicegate_gateway_clients_gone_total",
              "Clients that left before their answer was complete.", Event::kClientsGone),
      counter("sluicegate_upstream_connects_total", "Connections made to the upstream.",
              Event::kUpstreamConnects),
      counter("sluicegate_upstream_reuses_total", "Requests sent on a connection used before.",
              Event::kUpstreamReuses),
      counter("sluicegate_upstream_stale_retries_total",
              "Requests sent once more, as the connection used before turned out to be closed.",
              Event::kUpstreamStaleRetries),
      ByLabel("sluicegate_upstream_failures_total", "Answers that the upstream did not give.",
              "reason",
              {{"unreachable", Event::kUpstreamUnreachable},
               {"broken", Event::kUpstreamBroken},
               {"timeout", Event::kUpstreamTimeouts}},
              statistics),
  };
}

admin::Family AccessLogFamily(std::uint64_t lost) {
  return Single("sluicegate_access_log_lost_total",
                "Lines of the access log that were not written.", Family::Type::kCounter,
                static_cast<double>(lost));
}

admin::StateFileInfo StateInfo(table::StateFile& file) {
  admin::StateFileInfo info{.path = file.path(),
                            .bytes = std::nullopt,
                            .processes = file.processes(),
                            .takeovers = file.owners().takeovers(),
                            .stuck = file.owners().stuck()};
  std::error_code gone;
  const std::uintmax_t bytes = std::filesystem::file_size(file.path(), gone);
  if (!gone) info.bytes = bytes;
  return info;
}

}  // namespace sluicegate::app
