// Policy::Compile: the checks over the whole configuration, and the settings of the doors.
#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "policy/capacity.h"
#include "policy/door_compiler.h"
#include "policy/mcp_compiler.h"
#include "policy/policy.h"
#include "policy/rule_compiler.h"
#include "policy/values.h"
#include "policy/words.h"

namespace sluicegate::policy {
namespace {

constexpr std::size_t kDefaultMemory = std::size_t{64} << 20U;
constexpr std::size_t kLeastMemory = 1024;  // A bucket of one window and one of bans.
constexpr std::size_t kMaxAudiences = 64;

// In the order of HeaderMode.
constexpr std::array<std::string_view, 5> kForms = {"draft11", "draft-next", "draft03",
                                                    "x-ratelimit-epoch", "x-ratelimit-delta"};
constexpr std::string_view kOff = "off";
constexpr std::array<std::string_view, 6> kHeaderWords = {kForms[0], kForms[1], kForms[2],
                                                          kForms[3], kForms[4], kOff};
static_assert(static_cast<std::size_t>(HeaderMode::kXRateLimitDelta) == kForms.size() - 1);

// Fields that frame a message, go from hop to hop, or are written anew by the gateway.
bool IsTheGatewaysOwn(std::string name) {
  std::ranges::replace(name, '_', '-');
  static constexpr std::string_view kNames[] = {"host",
                                                "content-length",
                                                "transfer-encoding",
                                                "connection",
                                                "expect",
                                                "te",
                                                "trailer",
                                                "upgrade",
                                                "keep-alive",
                                                "proxy-connection",
                                                "x-real-ip",
                                                "forwarded",
                                                "proxy-authorization"};
  return name.starts_with("x-forwarded-") || std::ranges::find(kNames, name) != std::end(kNames);
}

}  // namespace

class PolicyCompiler {
 public:
  explicit PolicyCompiler(const Config& config) : config_(config) {}

  std::expected<std::shared_ptr<const Policy>, std::vector<Mistake>> Compile() {
    if (config_.enabled)
      policy_.enabled_ = ReadBool(*config_.enabled, "enabled", mistakes_).value_or(true);
    CompileListeners(config_, mistakes_, settings());
    ReadClients();
    ReadTimeouts();
    ReadHeaders();
    ReadRest();
    settings().mcp = CompileMcp(config_, mistakes_);
    ReadRules();
    if (!mistakes_.empty()) return std::unexpected(mistakes_.TakeMistakes());
    policy_.warnings_ = mistakes_.TakeWarnings();
    return std::make_shared<const Policy>(std::move(policy_));
  }

 private:
  Settings& settings() { return policy_.settings_; }

  void ReadClients() {
    const ClientsConfig& clients = config_.clients;
    settings().clients.trusted_proxies =
        PrefixSet(ReadPrefixes(clients.trusted_proxies, mistakes_));
    for (const Text& proxy : clients.trusted_proxies) {
      if (!proxy.value.ends_with("/0")) continue;
      mistakes_.Warn(proxy.at, "Every client counts as a trusted proxy, so it chooses who it is.",
                     "Write the proxies' own addresses.");
    }
    if (clients.trusted_hops && clients.trusted_proxies.empty()) {
      mistakes_.Warn(clients.trusted_hops->at,
                     "No proxy is trusted, so trusted_hops means nothing.",
                     "Write clients: {trusted_proxies: [ADDRESS]} for the nearest proxy.");
    }
    if (clients.trusted_hops) {
      const auto hops = ReadNumber(*clients.trusted_hops, "trusted_hops", 1, 16, mistakes_);
      if (hops) settings().clients.trusted_hops = static_cast<unsigned>(*hops);
    }
    if (clients.forwarded) ReadForwarded(*clients.forwarded);
    ReadIdentity();
  }

  void ReadForwarded(const Text& text) {
    constexpr std::array<std::string_view, 4> kWords = {"x-forwarded-for", "forwarded", "none",
                                                        "proxy-protocol"};
    ForwardedSource& source = settings().clients.forwarded;
    if (text.value == kWords[0]) {
      source = ForwardedSource::kXForwardedFor;
    } else if (text.value == kWords[1]) {
      source = ForwardedSource::kForwarded;
    } else if (text.value == kWords[2]) {
      source = ForwardedSource::kNone;
    } else if (text.value == kWords[3]) {
      mistakes_.Add(text.at, "The PROXY protocol belongs to a listener.",
                    "Write listen: {gateway: {address: ADDRESS:PORT, proxy_protocol: true}}.");
    } else {
      mistakes_.Add(text.at, "No source of client addresses is called " + Quoted(text.value) + ".",
                    Suggest(text.value, std::span(kWords).first(3)));
    }
  }

  void ReadIdentity() {
    const ClientsConfig& clients = config_.clients;
    Identity& identity = settings().clients.identity;
    if (clients.identity_header) {
      const Text& header = *clients.identity_header;
      if (const auto name = ReadFieldName(header.value, header.at, mistakes_)) {
        identity.header = *name;
        if (IsTheGatewaysOwn(*name)) {
          mistakes_.Add(header.at,
                        "The field " + Quoted(*name) + " says something else than who asks.",
                        "Name a field of its own, like x-user-id.");
        }
      }
      if (config_.clients.trusted_proxies.empty()) {
        mistakes_.Warn(header.at,
                       "No proxy is trusted, so the gateway ignores this header from everybody.",
                       "Write clients: {trusted_proxies: [ADDRESS]} for the proxy that sets it.");
      }
    }
    if (clients.identity_api_keys)
      identity.api_keys_file = ReadPath(*clients.identity_api_keys, mistakes_);
    if (clients.identity_jwt) identity.jwt = ReadTokens(*clients.identity_jwt);
  }

  TokenIdentity ReadTokens(const TokensConfig& config) {
    TokenIdentity tokens;
    if (config.key) {
      tokens.key_file = ReadPath(*config.key, mistakes_);
    } else {
      mistakes_.Add(config.at, "Nothing says what tokens are verified with.",
                    "Write key: FILE with public keys in PEM, a JSON Web Key Set or a secret.");
    }
    const auto read = [this](const Text& text, std::string& into) {
      if (text.value.empty()) {
        mistakes_.Add(text.at, "This is empty, so no token would have it.",
                      "Write what your tokens have there, or leave it out.");
      }
      into = text.value;
    };
    if (config.issuer) read(*config.issuer, tokens.issuer);
    if (config.claim) read(*config.claim, tokens.claim);
    for (const Text& audience : config.audience) read(audience, tokens.audiences.emplace_back());
    if (config.audience.size() > kMaxAudiences) {
      mistakes_.Add(config.audience[kMaxAudiences].at, "A policy has at most 64 audiences.",
                    "Write those that your tokens are for.");
    }
    return tokens;
  }

  void ReadTimeouts() {
    const auto read = [this](const MaybeText& text, std::string_view what, Duration& into) {
      if (!text) return;
      if (const auto length = ReadDuration(*text, what, mistakes_)) into = *length;
    };
    Timeouts& timeouts = settings().timeouts;
    read(config_.timeouts.header, "timeouts.header", timeouts.header);
    read(config_.timeouts.idle, "timeouts.idle", timeouts.idle);
    read(config_.timeouts.upstream, "timeouts.upstream", timeouts.upstream);
    read(config_.timeouts.connect, "timeouts.connect", timeouts.connect);
    read(config_.timeouts.drain, "timeouts.drain", timeouts.drain);
    read(config_.timeouts.tunnel, "timeouts.tunnel", timeouts.tunnel);
    if (config_.timeouts.half_closed && IsOff(*config_.timeouts.half_closed)) {
      timeouts.half_closed = Duration::zero();
    } else {
      read(config_.timeouts.half_closed, "timeouts.half_closed", timeouts.half_closed);
    }
  }

  void ReadHeaders() {
    std::vector<HeaderMode>& modes = settings().headers;
    modes = {HeaderMode::kDraft11, HeaderMode::kXRateLimitEpoch};
    if (!config_.headers) return;
    modes.clear();
    for (const Text& text : *config_.headers) {
      const auto* const form = std::ranges::find(kForms, text.value);
      if (form != kForms.end()) {
        const auto mode = static_cast<HeaderMode>(form - kForms.begin());
        RefuseBeside(modes, mode, text);
        modes.push_back(mode);
      } else if (text.value != kOff && text.value != "false") {
        mistakes_.Add(text.at, "No form of the fields is called " + Quoted(text.value) + ".",
                      Suggest(text.value, kHeaderWords));
      } else if (config_.headers->size() > 1) {
        mistakes_.Add(text.at, "The fields are off and on at once.",
                      "Write headers: [off], or leave off out.");
      }
    }
  }

  // Of two lines of one name a client reads whichever it likes, and takes seconds since 1970 for a
  // wait of half a century.
  void RefuseBeside(const std::vector<HeaderMode>& modes, HeaderMode mode, const Text& text) {
    const auto has = [&](HeaderMode one) {
      return mode == one || std::ranges::find(modes, one) != modes.end();
    };
    if (mode != HeaderMode::kXRateLimitEpoch && mode != HeaderMode::kXRateLimitDelta) return;
    if (!has(HeaderMode::kXRateLimitEpoch) || !has(HeaderMode::kXRateLimitDelta)) return;
    mistakes_.Add(text.at,
                  "x-ratelimit-epoch and x-ratelimit-delta send fields of the same names, with "
                  "another reset.",
                  "Leave one of the two out.");
  }

  void ReadRest() {
    settings().upstream = CompileUpstream(config_.upstream, mistakes_);
    settings().connections = CompileConnections(config_.connections, mistakes_);
    if (config_.max_body)
      settings().max_body = ReadSize(*config_.max_body, "max_body", mistakes_).value_or(0);
    if (config_.admin_token_file)
      settings().admin_token_file = ReadPath(*config_.admin_token_file, mistakes_);
    if (config_.access_log) {
      const Text& file = *config_.access_log;
      settings().access_log = IsOff(file) ? "" : ReadPath(file, mistakes_);
    }
    ReadRequestId();
    ReadState();
  }

  void ReadRequestId() {
    std::string& field = settings().request_id;
    if (const MaybeText& text = config_.request_id) {
      field.clear();
      if (!IsOff(*text)) field = ReadFieldName(text->value, text->at, mistakes_).value_or("");
      if (IsTheGatewaysOwn(field)) {
        mistakes_.Add(text->at, "The field " + Quoted(field) + " says something else of a request.",
                      "Name a field of its own, like x-request-id.");
      }
    }
    if (field.empty() || field != settings().clients.identity.header) return;
    mistakes_.Add(config_.request_id ? config_.request_id->at : config_.clients.identity_header->at,
                  "The field " + Quoted(field) + " names the request and the user at once.",
                  "Write another field for one of them, or request_id: off.");
  }

  void ReadState() {
    std::optional<std::size_t> memory = kDefaultMemory;
    if (config_.state_memory) {
      memory = ReadSize(*config_.state_memory, "state.memory", mistakes_);
      if (memory && *memory < kLeastMemory) {
        mistakes_.Add(config_.state_memory->at, "state.memory holds no key.",
                      "Write at least 1KiB; 64MiB is the default.");
      }
    }
    settings().memory = memory.value_or(kDefaultMemory);
    if (config_.state_sketch) ReadSketch(*config_.state_sketch, memory);
    if (config_.state_file) ReadStateFile(*config_.state_file);
  }

  void ReadStateFile(const Text& text) {
    if (text.value.starts_with('/') && text.value.find('\0') == std::string::npos) {
      settings().state_file = text.value;
      return;
    }
    mistakes_.Add(text.at,
                  "state.file is no absolute path: started in another folder, the program would "
                  "begin with another file.",
                  "Write the path from / on, like /var/lib/sluicegate/state or "
                  "/dev/shm/sluicegate.");
  }

  // No `memory`: that is a mistake of its own, and the sketch must not be blamed for it.
  void ReadSketch(const Text& text, std::optional<std::size_t> memory) {
    const auto bytes = ReadSize(text, "state.sketch", mistakes_);
    if (!bytes || !memory) return;
    if (*bytes > *memory / 2) {
      mistakes_.Add(
          text.at,
          "state.sketch is more than half of state.memory (" + std::to_string(*memory) + " bytes).",
          "Write at most half of state.memory.");
      return;
    }
    if (*bytes == 0) {
      mistakes_.Warn(text.at, "There is no sketch, so an offender that is evicted is forgotten.",
                     "Leave state.sketch out: a quarter of state.memory is the default.");
    }
    // Rounded up: a sketch that is asked for is never none.
    const auto millionths = static_cast<unsigned __int128>(*bytes) * 1'000'000;
    const std::size_t all = std::max<std::size_t>(*memory, 1);
    sketch_ppm_ = static_cast<std::uint32_t>((millionths + all - 1) / all);
  }

  void ReadRules() {
    if (config_.rules.empty()) {
      mistakes_.Warn({}, "There are no rules, so nothing is limited.",
                     "Write rules: with at least one.");
    }
    if (config_.rules.size() > kMaxRules) {
      mistakes_.Add(config_.rules[kMaxRules].at, "A policy has at most 32 rules.",
                    "Join some with overrides.");
      return;
    }
    RuleContext context{
        .mistakes = mistakes_,
        .asked_headers = policy_.asked_headers_,
        .asked_arguments = policy_.asked_arguments_,
        .has_users = config_.clients.door_names_users || settings().clients.identity.names_users(),
        .has_api_keys = !settings().clients.identity.api_keys_file.empty(),
        .max_body = settings().max_body};
    rules_ = config_.rules;
    if (settings().mcp.own_budgets) {
      std::ranges::move(MakeBuiltInRules(config_, settings().memory, context.has_users),
                        std::back_inserter(rules_));
    }
    std::map<std::string, Position> names;
    for (const RuleConfig& config : rules_) {
      policy_.rules_.push_back(RuleCompiler(config, context).Compile());
      WarnOfUnmetMcp(config, policy_.rules_.back().match(), settings().mcp, mistakes_);
      if (!config.name) continue;
      const auto [first, fresh] = names.emplace(config.name->value, config.name->at);
      if (fresh) continue;
      mistakes_.Add(config.name->at,
                    "Two rules are called " + Quoted(config.name->value) +
                        "; the first is in line " + std::to_string(first->second.line) + ".",
                    "Give one of them another name.");
    }
    if (settings().mcp.own_budgets) ReserveRules();
    policy_.rules_bound_bodies_ =
        policy_.enabled_ && std::ranges::any_of(policy_.rules_, [this](const Rule& rule) {
          return rule.Tightens(settings().max_body);
        });
    ShareMemory();
  }

  void ReserveRules() {
    for (const BuiltInRule& built_in : BuiltInRules()) {
      const auto rule = std::ranges::find(policy_.rules_, built_in.name, &Rule::name);
      if (rule != policy_.rules_.end()) RuleCompiler::Reserve(*rule, built_in.reserved);
    }
  }

  // Less than a bucket holds nobody; the table would round it up and exceed what was asked for.
  void SetMemory(Rule& rule, std::size_t bytes, Position at) {
    RuleCompiler::SetMemory(rule, bytes, sketch_ppm_);
    const std::size_t least = LeastMemory(rule);
    if (bytes >= least || rule.variants()[0].limits.empty()) return WarnOfNoSketch(rule, at);
    mistakes_.Add(
        at,
        "The memory of rule " + Quoted(rule.name()) + " (" + std::to_string(bytes) +
            " bytes) holds no key.",
        "Give it at least " + std::to_string(least) + " bytes: raise its memory or state.memory.");
  }

  void WarnOfNoSketch(const Rule& rule, Position at) {
    if (sketch_ppm_ == 0 || rule.rates().slot_bytes == 0 || PlanMemory(rule).sketch > 0) return;
    mistakes_.Warn(at,
                   "Rule " + Quoted(rule.name()) +
                       " has no room for a sketch, so an offender that it evicts is forgotten.",
                   config_.state_sketch ? "Raise state.sketch, or leave it out."
                                        : "Raise the rule's memory or state.memory.");
  }

  // Rules that name no memory share what the others leave. A rule that is off has none.
  void ShareMemory() {
    std::size_t left = settings().memory;
    std::size_t sharers = 0;
    for (std::size_t i = 0; i < policy_.rules_.size(); ++i) {
      Rule& rule = policy_.rules_[i];
      const MaybeText& memory = rules_[i].memory;
      if (rule.mode() == Mode::kOff) {
        if (memory) (void)ReadSize(*memory, "The rule's memory", mistakes_);
        continue;
      }
      if (!memory) {
        ++sharers;
        continue;
      }
      const auto read = ReadSize(*memory, "The rule's memory", mistakes_);
      if (!read) continue;
      const std::size_t bytes = *read;
      if (bytes > left) {
        mistakes_.Add(memory->at,
                      "The rules' memory together is more than state.memory (" +
                          std::to_string(settings().memory) + " bytes).",
                      "Raise state.memory or lower the rules' own.");
      }
      SetMemory(rule, bytes, memory->at);
      left -= std::min(bytes, left);
    }
    if (sharers == 0) return;
    const std::size_t share = left / sharers;
    for (std::size_t i = 0; i < policy_.rules_.size(); ++i) {
      Rule& rule = policy_.rules_[i];
      if (rule.mode() == Mode::kOff || rules_[i].memory) continue;
      SetMemory(rule, share, rules_[i].at);
    }
  }

  const Config& config_;
  std::vector<RuleConfig> rules_;                 // The file's, and those that are built in.
  std::uint32_t sketch_ppm_ = kDefaultSketchPpm;  // Of each rule's memory.
  Policy policy_;
  Mistakes mistakes_;
};

std::expected<std::shared_ptr<const Policy>, std::vector<Mistake>> Policy::Compile(
    const Config& config) {
  return PolicyCompiler(config).Compile();
}

}  // namespace sluicegate::policy
