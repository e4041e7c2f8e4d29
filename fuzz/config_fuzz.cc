// The policy file: any bytes are a policy or mistakes, each with a place in the text, what is wrong
// and what to write instead; what is a policy keeps every bound that its makers promise.
#include <algorithm>
#include <string>
#include <vector>

#include "config/load.h"
#include "fuzz_target.h"
#include "policy/capacity.h"
#include "policy/door_compiler.h"

using sluicegate::fuzz::Require;
namespace config = sluicegate::config;
namespace policy = sluicegate::policy;

namespace {

void CheckMistake(const policy::Mistake& mistake, std::size_t lines, std::size_t bytes) {
  Require(!mistake.what.empty() && !mistake.mend.empty());
  Require(mistake.what.ends_with('.') && mistake.mend.ends_with('.'));
  Require(mistake.mend.front() >= 'A' && mistake.mend.front() <= 'Z');
  Require(mistake.at.line <= lines && mistake.at.column <= bytes + 1);
  // Twice the 500 bytes that are shown of a text, the place, and what stands between.
  const std::string text = config::FormatMistake("policy.yaml", mistake);
  Require(text.size() <= 1'100);
  Require(std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }));
}

void CheckLimits(const policy::Rule& rule, const policy::LimitSet& set) {
  Require(!set.limits.empty() && set.limits.size() <= policy::kMaxLimitsPerRule);
  for (const policy::RuleLimit& limit : set.limits) {
    Require(!limit.name.empty() && limit.limit.quota() >= rule.cost().fallback);
  }
}

// States lie one behind the other and none reaches beyond the slot.
void CheckLayout(const policy::Layout& layout, std::size_t variants) {
  Require(layout.variants.size() == variants);
  for (const policy::BoundLimits& limits : layout.variants) {
    std::size_t end = 0;
    for (const policy::BoundLimit& bound : limits) {
      Require(bound.offset % 8 == 0 && bound.offset >= end);
      end = bound.offset + bound.limit.state_bytes();
    }
    Require(end <= layout.slot_bytes);
  }
}

void CheckLayouts(const policy::Rule& rule) {
  const std::size_t variants = rule.variants().size();
  CheckLayout(rule.rates(), variants);
  CheckLayout(rule.leases(), variants);
  for (std::size_t i = 0; i < variants; ++i) {
    Require(rule.rates().variants[i].size() + rule.leases().variants[i].size() ==
            rule.variants()[i].limits.size());
  }
  unsigned bits = 64;
  Require(rule.ceilings().size() <= policy::kMaxCeilings);
  for (const policy::Ceiling& ceiling : rule.ceilings()) {
    Require(ceiling.prefix_bits < bits && ceiling.factor >= 1);
    bits = ceiling.prefix_bits;
    CheckLayout(ceiling.layout, variants);
  }
  const bool stand_in = rule.penalty() || rule.new_keys();
  Require((rule.parents().slot_bytes > 0) == (stand_in && rule.rates().slot_bytes > 0));
  if (rule.parents().slot_bytes > 0) CheckLayout(rule.parents(), variants);
}

void CheckMemory(const policy::Rule& rule) {
  const bool on = rule.mode() != policy::Mode::kOff;
  Require((policy::LiveKeys(rule) > 0) == on);
  Require((policy::KeysInFlight(rule) > 0) == (on && rule.leases().slot_bytes > 0));
  const policy::MemoryPlan plan = policy::PlanMemory(rule);
  Require(plan.table + plan.sketch + plan.leases + plan.overflow + plan.bans + plan.parents +
              plan.ceiling * rule.ceilings().size() <=
          rule.memory());
}

void CheckRule(const policy::Rule& rule) {
  Require(!rule.name().empty() && rule.key().size() <= policy::kMaxKeyParts);
  Require(!rule.variants().empty() && rule.variants().size() <= policy::kMaxOverridesPerRule + 1);
  for (const policy::LimitSet& set : rule.variants()) CheckLimits(rule, set);
  CheckLayouts(rule);
  CheckMemory(rule);
  Require(rule.cost().fallback > 0 && rule.cost().fallback <= rule.cost().fallback);
  if (rule.penalty()) Require(!rule.penalty()->escalate.empty());
}

void CheckListeners(const policy::Settings& settings) {
  Require(settings.gateway.size() <= policy::kMaxListeners);
  for (const policy::GatewayListener& listener : settings.gateway) {
    const auto same = [&](const policy::GatewayListener& other) {
      return other.endpoint == listener.endpoint;
    };
    Require(listener.endpoint.port == 0 || std::ranges::count_if(settings.gateway, same) == 1);
    Require(!listener.proxy_protocol || !settings.clients.trusted_proxies.empty());
    Require(!listener.tls ||
            (!listener.tls->certificate_file.empty() && !listener.tls->key_file.empty()));
  }
}

void CheckUpstream(const policy::Upstream& upstream) {
  Require(!upstream.servers.empty() && upstream.servers.size() <= policy::kMaxServers);
  Require(upstream.rest > sluicegate::Duration::zero());
  for (const policy::UpstreamServer& server : upstream.servers) {
    Require(server.host.empty() != server.socket_path.empty());
    Require(server.socket_path.size() <= 107);
    Require((server.port > 0) != server.host.empty());
    Require(std::ranges::count(upstream.servers, server) == 1);
  }
}

void CheckDoors(const policy::Settings& settings) {
  CheckListeners(settings);
  if (settings.upstream) CheckUpstream(*settings.upstream);
  const std::string& id = settings.request_id;
  Require(id.size() <= 100 && std::ranges::none_of(id, [](char c) {
            return c <= ' ' || c == ':' || (c >= 'A' && c <= 'Z');
          }));
  Require(id.empty() || id != settings.clients.identity.header);
  Require(settings.connections.most <= 1'000'000 &&
          settings.connections.body_rate <= 1'000'000'000);
}

// A request of ordinary words: matching it and taking its key must work for every policy.
void Ask(const policy::Policy& compiled) {
  const std::vector<std::string_view> headers(compiled.asked_headers().size(), "free");
  sluicegate::Request request;
  request.method = "GET";
  request.path = "/api/v1/items";
  request.host = "api.example.com";
  request.headers = headers;
  for (const policy::Rule& rule : compiled.rules()) {
    const std::uint8_t variant = rule.VariantOf(request);
    Require(variant < rule.variants().size());
    static_cast<void>(rule.Matches(request));
    Require(rule.HashKey({}, request, variant) == rule.HashKey({}, request, variant));
    Require(rule.CostOf(request) <= rule.cost().fallback);
  }
}

}  // namespace

SG_FUZZ_TARGET(config) {
  const auto lines = static_cast<std::size_t>(std::ranges::count(bytes, '\n')) + 1;
  const auto result = config::ParsePolicy(bytes);
  if (!result) {
    const config::Mistakes& mistakes = result.error();
    Require(!mistakes.empty() && mistakes.size() <= config::kMaxMistakes + 1);
    Require(std::ranges::is_sorted(mistakes, {}, &policy::Mistake::at));
    for (const policy::Mistake& mistake : mistakes) CheckMistake(mistake, lines, bytes.size());
    return;
  }
  const policy::Policy& compiled = **result;
  for (const policy::Mistake& warning : compiled.warnings())
    CheckMistake(warning, lines, bytes.size());
  CheckDoors(compiled.settings());
  Require(compiled.rules().size() <= policy::kMaxRules);
  std::size_t memory = 0;
  for (const policy::Rule& rule : compiled.rules()) {
    CheckRule(rule);
    if (rule.mode() != policy::Mode::kOff) memory += rule.memory();
  }
  Require(memory <= compiled.settings().memory);
  Ask(compiled);
}
