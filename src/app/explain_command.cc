#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/commands.h"
#include "app/complain.h"
#include "app/live_state.h"
#include "app/policy_source.h"
#include "app/words.h"
#include "base/ip.h"
#include "base/siphash.h"
#include "engine/engine.h"
#include "limit/saturating.h"
#include "wire/http_head.h"
#include "wire/path.h"
#include "wire/syntax.h"

namespace sluicegate::app {
namespace {

/// Why there is nothing to explain, and the exit status.
struct Unexplained {
  std::string why;
  int status = kUsage;
};
using Taken = std::expected<void, Unexplained>;

std::unexpected<Unexplained> Misused(std::string why) {
  return std::unexpected(Unexplained{.why = std::move(why)});
}

/// A request as the command line has it, in the form that the gateway would give to the engine.
/// `request` holds views of the other members.
struct Asked {
  std::string path;
  std::string host;
  std::vector<std::string_view> header_values;
  Request request;
};

Taken TakeHeaders(const ExplainOptions& options, const policy::Policy& policy, Asked& asked) {
  asked.header_values.assign(policy.asked_headers().size(), {});
  for (const std::string& header : options.headers) {
    const std::size_t colon = header.find(':');
    if (colon == std::string::npos || colon == 0) {
      return Misused("--header wants NAME:VALUE, for example --header x-tenant:acme");
    }
    const std::string_view name = std::string_view(header).substr(0, colon);
    std::string_view value = std::string_view(header).substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    for (std::size_t i = 0; i < policy.asked_headers().size(); ++i) {
      if (wire::EqualsIgnoreCase(policy.asked_headers()[i], name)) asked.header_values[i] = value;
    }
  }
  return {};
}

/// The path and the host, as the gateway reads them.
Taken Locate(const ExplainOptions& options, Asked& asked) {
  // Only HTTP/1.0 may leave the host out.
  const std::string host = options.host.empty() ? "" : "Host: " + options.host + "\r\n";
  const std::string text =
      fmt::format("{} {} HTTP/1.0\r\n{}\r\n", options.method, options.target, host);
  const auto refused = [](const wire::Refusal& refusal) {
    return std::unexpected(Unexplained{
        .why = fmt::format("the gateway would answer {}: {}", refusal.status, refusal.detail),
        .status = 1});
  };
  wire::RequestParser parser;
  wire::RequestHead head;
  const wire::ParseState state = parser.Parse(text, head);
  if (state == wire::ParseState::kRefused) return refused(parser.refusal());
  // A line end within the words is the end of a request.
  if (state != wire::ParseState::kDone || head.size != text.size() ||
      head.method != options.method) {
    return Misused("METHOD and TARGET are a word each, for example GET /search");
  }
  if (const auto query = wire::LocateTarget(head, asked.path); !query)
    return refused(query.error());
  wire::AppendRuleHost(head.authority, asked.host);
  return {};
}

/// What the body says, if it is a message of MCP.
Taken TakeMessage(const ExplainOptions& options, const policy::Mcp& mcp, Asked& asked) {
  constexpr std::string_view kCall = "tools/call";
  Request& request = asked.request;
  const bool call = options.mcp_method.empty() && !options.mcp_tool.empty();
  request.mcp_method = call ? kCall : std::string_view(options.mcp_method);
  request.mcp_tool = options.mcp_tool;
  if (!request.mcp_tool.empty() && request.mcp_method != kCall) {
    return Misused(fmt::format("only {} has a tool: leave --tool or --mcp-method out", kCall));
  }
  const bool is_endpoint = mcp.IsAt(asked.path);
  if (request.mcp_method.empty()) {
    if (is_endpoint) mcp.Classify(request, true);
    return {};
  }
  if (request.method != "POST" || !is_endpoint) {
    return Misused("a message of MCP comes by POST on one of mcp.paths, for example POST /mcp");
  }
  request.mcp_class = mcp.ClassOf(request.mcp_method);
  request.places_only = request.mcp_class == McpClass::kStream;
  return {};
}

Taken TakeRequest(const ExplainOptions& options, const policy::Policy& policy, Asked& asked) {
  const std::optional<IpAddress> client = IpAddress::Parse(options.client);
  if (!client) {
    return Misused("--client wants an address, for example 203.0.113.7 or 2001:db8::1");
  }
  if (auto located = Locate(options, asked); !located) return located;
  if (auto headers = TakeHeaders(options, policy, asked); !headers) return headers;
  const policy::Mcp& mcp = policy.settings().mcp;
  if (std::string folded; mcp.Fold(asked.path, folded)) asked.path = std::move(folded);
  asked.request.client = *client;
  asked.request.method = options.method;
  asked.request.path = asked.path;
  asked.request.host = asked.host;
  asked.request.user = options.user;
  asked.request.api_key_id = options.api_key;
  asked.request.headers = asked.header_values;
  return TakeMessage(options, mcp, asked);
}

/// What makes the answer one about another request than the one that was meant.
void TellDoubts(const policy::Policy& policy, const Request& request) {
  const policy::Settings& settings = policy.settings();
  const bool posts = request.method == "POST" && settings.mcp.IsAt(request.path);
  if (posts && request.mcp_method.empty()) {
    Complain(
        "note: what a POST there asks for stands in its body: name it with --tool or "
        "--mcp-method.\n");
  }
  const policy::Identity& identity = settings.clients.identity;
  const bool nobody = (!request.user.empty() && !identity.names_users()) ||
                      (!request.api_key_id.empty() && identity.api_keys_file.empty());
  if (nobody) {
    Complain(
        "note: by this policy the gateway verifies no such user or API key: see "
        "clients.identity.\n");
  }
}

/// The client as keys have it: an IPv6 client is its /64.
std::string ClientText(const Request& request) {
  return request.client.Client().ToString() + (request.client.is_v4() ? "" : "/64");
}

/// What one part of a key is for this request; empty: absent.
std::string ValueOf(const policy::KeyPart& part, const Request& request) {
  return part.kind == policy::KeyKind::kClient ? ClientText(request)
                                               : std::string(policy::TextOf(part, request));
}

void TellKey(const policy::Rule& rule, const Request& request) {
  if (rule.key().empty()) {
    fmt::print("  key     one bucket that all clients share\n");
    return;
  }
  for (const policy::KeyPart& part : rule.key()) {
    const std::string value = ValueOf(part, request);
    if (value.empty()) {
      fmt::print("  key     {} is absent, so the client's address stands in: {}\n", part.text,
                 ClientText(request));
    } else {
      fmt::print("  key     {} = {}\n", part.text, value);
    }
  }
}

void TellPenalty(const policy::Penalty& penalty) {
  const std::uint64_t first_ns = limit::MultiplySaturating(
      static_cast<std::uint64_t>(penalty.ban.count()), penalty.escalate.front());
  fmt::print("  penalty {} violations within {} earn a ban of {}{}\n", penalty.violations,
             DurationText(static_cast<std::uint64_t>(penalty.within.count())),
             DurationText(first_ns),
             penalty.drop ? ", during which connections are closed without an answer" : "");
}

/// What the client shares with its network.
void TellNetworks(const policy::Rule& rule, const Request& request) {
  const auto network = [&request](unsigned bits) {
    return fmt::format("{}/{}", request.client.Masked(bits).ToString(), bits);
  };
  const bool v4 = request.client.is_v4();
  for (const policy::Ceiling& ceiling : rule.ceilings()) {
    if (v4) break;
    fmt::print("  ceiling x{} for all of {}\n", ceiling.factor, network(ceiling.prefix_bits));
  }
  if (!rule.new_keys()) return;
  const limit::CompiledLimit& budget = rule.new_keys()->limit;
  fmt::print("  network {}: new keys beyond {} in any {} share the limits of one\n",
             network(v4 ? 24 : 48), CountText(budget.quota()), DurationText(budget.window_ns()));
}

void TellRule(const policy::Rule& rule, const Request& request) {
  fmt::print("\nrule {} ({})", rule.name(), ModeText(rule.mode()));
  if (rule.mode() == policy::Mode::kOff) {
    fmt::print(" is off\n");
    return;
  }
  if (!rule.Matches(request)) {
    fmt::print(" does not match\n");
    return;
  }
  if (rule.Exempts(request)) {
    fmt::print(" matches, but exempts this client or user\n");
    return;
  }
  fmt::print(" matches{}\n",
             rule.mode() == policy::Mode::kObserve ? "; it counts and denies nothing" : "");
  TellKey(rule, request);
  const std::uint8_t variant = rule.VariantOf(request);
  if (variant > 0) fmt::print("  by its override {}\n", variant);
  for (const policy::RuleLimit& limit : rule.variants()[variant].limits) {
    fmt::print("  limit   {}: {}\n", limit.name, LimitText(limit));
  }
  TellNetworks(rule, request);
  fmt::print("  cost    {}\n", rule.CostOf(request));
  // A rule that only watches bounds no body.
  if (rule.Tightens(0)) fmt::print("  body    at most {}\n", BytesText(rule.max_body()));
  if (rule.penalty()) TellPenalty(*rule.penalty());
}

/// The smallest bound that holds, whoever set it.
void TellBody(std::uint64_t max_body) {
  if (max_body > 0) fmt::print("Its body may have at most {}.\n", BytesText(max_body));
}

std::uint64_t WholeSeconds(std::uint64_t ns) {
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  return limit::DivideRoundingUp(ns, kSecondNs) * kSecondNs;
}

/// There is one policy, so there is always a decision; no request is over before the next.
Decision Decide(engine::Engine& engine, const engine::Ruleset& rules, const Request& request,
                Now now) {
  engine::Receipt receipt;
  return engine.Decide(rules, request, now, &receipt).value_or(Decision{});
}

/// How many such requests pass before the first denial, up to `most`.
std::uint64_t CountAdmitted(engine::Engine& engine, const engine::Ruleset& rules,
                            const Request& request, Now now, std::uint64_t most, Decision& denial) {
  for (std::uint64_t passed = 0; passed < most; ++passed) {
    denial = Decide(engine, rules, request, now);
    if (!denial.allowed()) return passed;
  }
  return most;
}

/// "per-minute of rule api", and of which network where its clients share that.
std::string BindingText(const policy::Policy& policy, const Decision& decision) {
  const policy::Rule& rule = policy.rules()[decision.rule];
  const policy::RuleLimit* const binding = policy.BindingLimit(decision);
  const std::string limit = binding == nullptr ? "a ban" : binding->name;
  std::string network;
  if (decision.shared_bits == Decision::kSharedByAll) {
    network = ", shared by all who find no place";
  } else if (decision.shared_bits > 0) {
    network = fmt::format(", shared by its /{}", decision.shared_bits);
  }
  return fmt::format("{} of rule {}{}", limit, rule.name(), network);
}

/// `when`: "A first request would".
void TellDecision(const policy::Policy& policy, const Decision& decision, std::string_view when) {
  fmt::print("\n{} be {}", when, VerdictName(decision.verdict));
  if (decision.rule == Decision::kNone) {
    fmt::print("{}.\n", decision.verdict == Verdict::kExempt ? "" : ": no limit applies to it");
    return;
  }
  fmt::print("; what binds is {}", BindingText(policy, decision));
  if (decision.limit != Decision::kNone) {
    fmt::print(": {} of {} left", decision.remaining, decision.quota);
  }
  fmt::print(".\n");
  if (!decision.allowed() && decision.retry_after_ns == Decision::kNever) {
    fmt::print("It costs more than the limit can ever hold: lower its cost or raise the limit.\n");
  } else if (!decision.allowed()) {
    fmt::print("It would be allowed in {}.\n", DurationText(WholeSeconds(decision.retry_after_ns)));
  }
}

void TellBurst(engine::Engine& engine, const engine::Ruleset& rules, const Request& request,
               Now now) {
  constexpr std::uint64_t kMost = 1'000'000;
  Decision denial;
  const std::uint64_t more = CountAdmitted(engine, rules, request, now, kMost, denial);
  if (denial.allowed()) return;
  // The first request was decided before.
  fmt::print("Sent again and again at once, {} pass and the next is {}", CountText(more + 1),
             VerdictName(denial.verdict));
  if (denial.limit != Decision::kNone) {
    fmt::print(" by {}", BindingText(rules.policy(), denial));
  }
  fmt::print(".\n");
}

/// The policy with tables that are just large enough for one key, whatever the file says; but as it
/// is where there are tables to look at.
void UseLittleMemory(policy::Config& config) {
  if (config.state_file && IsThere(config.state_file->value)) return;
  config.state_memory = policy::Text{.value = "4MiB", .at = {}};
  config.state_sketch.reset();
  for (policy::RuleConfig& rule : config.rules) rule.memory.reset();
}

/// Whom to ask: an engine that nobody has asked yet, or one with what the policy's state file has.
struct AskedState {
  std::shared_ptr<table::StateFile> copy;  // Null: in memory.
  std::unique_ptr<engine::Engine> engine;
  Now now;
  std::string when;  // Begins the sentence that tells the decision.
};

std::expected<AskedState, std::string> AskState(const PolicySource::PolicyPtr& policy) {
  const std::string& path = policy->settings().state_file;
  if (!IsThere(path)) {
    auto engine = engine::Engine::Create(policy, HashSecret::Random());
    if (!engine) return std::unexpected(std::move(engine.error()));
    return AskedState{.copy = nullptr,
                      .engine = *std::move(engine),
                      .now = SystemClock().Read(),
                      .when = "A first request would"};
  }
  auto live = LookAtState(policy);
  if (!live) return std::unexpected(std::move(live.error()));
  const Now now = live->Read();
  return AskedState{.copy = std::move(live->copy),
                    .engine = std::move(live->engine),
                    .now = now,
                    .when = "By what " + path + " has of it, it would now"};
}

}  // namespace

int Explain(const ExplainOptions& options) {
  const PolicySource source(options.config, UseLittleMemory);
  const auto policy = source.Load();
  if (!policy) {
    TellLines("", policy.error());
    return 1;
  }
  Asked asked;
  if (const auto taken = TakeRequest(options, **policy, asked); !taken) {
    Complain("sluicegate: explain: {}\n", taken.error().why);
    return taken.error().status;
  }
  const auto asked_state = AskState(*policy);
  if (!asked_state) {
    Complain("sluicegate: explain: {}\n", asked_state.error());
    return 1;
  }
  engine::Engine& engine = *asked_state->engine;
  fmt::print("{} {} from {}, by {}\n", options.method, asked.path, options.client, source.name());
  TellDoubts(**policy, asked.request);
  for (const policy::Rule& rule : (*policy)->rules()) TellRule(rule, asked.request);
  const auto rules = engine.rulesets().Get();
  const Decision decision = Decide(engine, *rules, asked.request, asked_state->now);
  TellDecision(**policy, decision, asked_state->when);
  TellBody((*policy)->MaxBody(asked.request));
  if (decision.verdict == Verdict::kAllowed) {
    TellBurst(engine, *rules, asked.request, asked_state->now);
  }
  return 0;
}

}  // namespace sluicegate::app
