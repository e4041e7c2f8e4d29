#include "policy/rule_compiler.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <span>
#include <utility>

#include "policy/network_compiler.h"
#include "policy/values.h"
#include "policy/words.h"

namespace sluicegate::policy {
namespace {

constexpr std::array<std::string_view, 3> kModes = {"off", "observe", "enforce"};

struct KeyWord {
  std::string_view word;
  KeyKind kind;
};
constexpr std::array kKeyWords = {KeyWord{"client", KeyKind::kClient},
                                  KeyWord{"user", KeyKind::kUser},
                                  KeyWord{"api_key", KeyKind::kApiKey},
                                  KeyWord{"method", KeyKind::kMethod},
                                  KeyWord{"path", KeyKind::kPath},
                                  KeyWord{"host", KeyKind::kHost},
                                  KeyWord{"mcp_method", KeyKind::kMcpMethod},
                                  KeyWord{"mcp_tool", KeyKind::kMcpTool},
                                  KeyWord{"mcp_args", KeyKind::kMcpArguments}};
constexpr std::array<std::string_view, 11> kKeyParts = {
    "client",     "user",     "api_key",  "method",      "path",     "host",
    "mcp_method", "mcp_tool", "mcp_args", "header:NAME", "entry:KEY"};

// Whether somebody else than the client says what this part is.
bool IsTrusted(KeyKind kind) {
  return kind == KeyKind::kClient || kind == KeyKind::kUser || kind == KeyKind::kApiKey ||
         kind == KeyKind::kEntry;
}

// Of networks, users and API keys, as a set each.
std::uint64_t HashOf(std::span<const IpPrefix> prefixes, const Who& who) {
  std::set<std::string, std::less<>> networks;
  for (const IpPrefix& prefix : prefixes) networks.insert(prefix.ToString());
  SipHasher hasher({});
  const auto feed = [&hasher](const std::set<std::string, std::less<>>& texts) {
    hasher.UpdateU64(texts.size());
    for (const std::string& text : texts) {
      hasher.UpdateU64(text.size());
      hasher.Update(text);
    }
  };
  feed(networks);
  feed(who.users);
  feed(who.api_keys);
  return hasher.Finish();
}

// Whether a banned client's connection is closed without an answer.
bool ReadDrop(const MaybeText& answer, Mistakes& mistakes) {
  if (!answer || answer->value == "429") return false;
  if (answer->value == "drop") return true;
  mistakes.Add(answer->at, "No answer to a banned client is called " + Quoted(answer->value) + ".",
               "Write 429 or drop.");
  return false;
}

// Whether requests pass where the state cannot be had.
bool ReadFailsOpen(const MaybeText& fail, Mistakes& mistakes) {
  constexpr std::array<std::string_view, 2> kWords = {"closed", "open"};
  if (!fail || fail->value == kWords[0]) return false;
  if (fail->value == kWords[1]) return true;
  mistakes.Add(fail->at, "No way to fail is called " + Quoted(fail->value) + ".",
               Suggest(fail->value, kWords));
  return false;
}

// Whether a saturated sketch folds on.
bool ReadProtect(const MaybeText& saturated, Mistakes& mistakes) {
  constexpr std::array<std::string_view, 2> kWords = {"forget", "protect"};
  if (!saturated || saturated->value == kWords[0]) return false;
  if (saturated->value == kWords[1]) return true;
  mistakes.Add(saturated->at,
               "Nothing that a saturated sketch does is called " + Quoted(saturated->value) + ".",
               Suggest(saturated->value, kWords));
  return false;
}

}  // namespace

Rule RuleCompiler::Compile() {
  if (config_.name) {
    (void)CheckName(*config_.name, "The rule's name", context_.mistakes);
    rule_.name_ = config_.name->value;
  } else {
    context_.mistakes.Add(config_.at, "This rule has no name.",
                          "Write name: and a word for metrics and answers.");
  }
  rule_.name_hash_ = SipHash({}, rule_.name_);
  ReadMode();
  ReadMatch();
  ReadKey();
  ReadCost();
  LimitSetCompiler limits(context_.mistakes, rule_.cost_);
  rule_.variants_.push_back(limits.Compile(config_.limits, config_.at));
  ReadExemptions();
  ReadOverrides(limits);
  ReadPenalty();
  ReadMaxBody();
  rule_.protect_ = ReadProtect(config_.saturated, context_.mistakes);
  rule_.fails_open_ = ReadFailsOpen(config_.fail, context_.mistakes);
  rule_.rates_ = Layout::Lay(rule_.variants_, Layout::Of::kRates);
  rule_.leases_ = Layout::Lay(rule_.variants_, Layout::Of::kLeases);
  ReadNetworks();
  return std::move(rule_);
}

void RuleCompiler::ReadNetworks() {
  NetworkCompiler networks(config_, rule_.key_, rule_.variants_, context_.mistakes);
  rule_.ceilings_ = networks.ReadCeilings();
  rule_.new_keys_ = networks.ReadNewKeys(rule_.rates_.slot_bytes);
  if (rule_.rates_.slot_bytes == 0 || !(rule_.penalty_ || rule_.new_keys_)) return;
  rule_.parents_ = rule_.rates_;
  if (rule_.new_keys_) NetworkCompiler::Append(rule_.parents_, *rule_.new_keys_);
}

void RuleCompiler::ReadMode() {
  if (!config_.mode) return;
  // YAML reads a bare off as false.
  const std::string word = config_.mode->value == "false" ? "off" : config_.mode->value;
  const auto found = std::ranges::find(kModes, word);
  if (found == kModes.end()) {
    context_.mistakes.Add(config_.mode->at, "No mode is called " + Quoted(word) + ".",
                          Suggest(word, kModes));
    return;
  }
  rule_.mode_ = static_cast<Mode>(found - kModes.begin());
}

// Paths reach a rule without query and with dot segments and double slashes removed.
namespace {

// Whether a normalised path could have this spelling (wire/path.h): plain ASCII, and %XX in
// capitals only for what is no letter, digit or - . _ ~ and may be in a path at all.
bool IsSpeltAsRulesSee(std::string_view path) {
  const auto hex = [](char c) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    return static_cast<unsigned>(kDigits.find(c) & 0xFFU);  // 0xFF: no digit.
  };
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c <= 0x20 || c >= 0x7F || c == '\\') return false;
    if (c != '%') continue;
    if (i + 2 >= path.size()) return false;
    const unsigned high = hex(path[i + 1]);
    const unsigned low = hex(path[i + 2]);
    if (high > 15 || low > 15) return false;
    const auto byte = static_cast<char>(high * 16 + low);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                       (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '.' || byte == '_' ||
                       byte == '~';
    const bool refused = (byte >= 0 && byte < 0x20) || byte == 0x7F || byte == '/' || byte == '\\';
    if (plain || refused) return false;
    i += 2;
  }
  return true;
}

}  // namespace

void RuleCompiler::WarnOfDeadPath(const Text& text) {
  if (!IsSpeltAsRulesSee(text.value)) {
    context_.mistakes.Warn(
        text.at, "The path " + Quoted(text.value) + " never matches: rules see another spelling.",
        "Write plain ASCII, and %XX in capitals for all but letters, digits and -._~, like "
        "/%C3%A9/**.");
    return;
  }
  for (const std::string_view never : {"?", "#", "//", "/./", "/../"}) {
    const bool segment = never.size() > 2;  // May stand at the end, without its slash.
    const std::string path = segment ? text.value + "/" : text.value;
    if (path.find(never) == std::string::npos) continue;
    context_.mistakes.Warn(text.at,
                           "The path " + Quoted(text.value) +
                               " never matches: no path that a rule sees has " + Quoted(never) +
                               " in it.",
                           "Write it without query, dot segments and double slashes.");
    return;
  }
}

// Hosts reach a rule in small letters and without a port.
std::vector<Glob> RuleCompiler::ReadHosts(std::vector<Text> texts) {
  for (Text& text : texts) {
    for (char& c : text.value) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    const std::size_t scheme = text.value.find("://");
    const bool is_url = scheme != std::string::npos;
    const std::string_view host = std::string_view(text.value).substr(is_url ? scheme + 3 : 0);
    const std::size_t end = std::min(host.find_first_of(":/"), host.size());
    if (!is_url && (!host.substr(end).starts_with(':') || host.starts_with('['))) continue;
    context_.mistakes.Add(
        text.at, "The host " + Quoted(text.value) + (is_url ? " is a URL." : " has a port."),
        "Write the host alone, like " + std::string(Shortened(host.substr(0, end), 60)) + ".");
  }
  return ReadGlobs(texts, false);
}

std::vector<Glob> RuleCompiler::ReadGlobs(const std::vector<Text>& texts, bool path) {
  std::vector<Glob> globs;
  if (texts.size() > kMaxPatterns) {
    context_.mistakes.Add(texts[kMaxPatterns].at, "A list has at most 64 patterns.",
                          "Let * stand for what they share, or make a rule of its own for some.");
    return globs;
  }
  for (const Text& text : texts) {
    auto glob = Glob::Compile(text.value, path ? Glob::Subject::kPath : Glob::Subject::kText);
    if (!glob) {
      context_.mistakes.Add(
          text.at, "The pattern " + Quoted(text.value) + " is empty or longer than 250 bytes.",
          "Write a shorter one, like /api/**.");
    } else if (path && !text.value.starts_with('/') && text.value != "**") {
      context_.mistakes.Add(text.at,
                            "The path " + Quoted(text.value) + " does not begin with a slash.",
                            "Write /" + std::string(Shortened(text.value, 60)) + ".");
    } else {
      if (path) WarnOfDeadPath(text);
      globs.push_back(std::move(*glob));
    }
  }
  return globs;
}

void RuleCompiler::ReadMatch() {
  const MatchConfig& match = config_.match;
  rule_.match_.paths = ReadGlobs(match.path, true);
  rule_.match_.hosts = ReadHosts(match.host);
  rule_.match_.mcp_methods = ReadGlobs(match.mcp_method, false);
  rule_.match_.mcp_tools = ReadGlobs(match.mcp_tool, false);
  for (const Text& method : match.method) {
    const bool good = !method.value.empty() && method.value.size() <= 32 &&
                      std::ranges::all_of(
                          method.value, [](char c) { return (c >= 'A' && c <= 'Z') || c == '-'; });
    if (!good) {
      context_.mistakes.Add(method.at, Quoted(method.value) + " is no method.",
                            "Write one in capitals, like POST.");
      continue;
    }
    rule_.match_.methods.push_back(method.value);
  }
  if (match.header.size() > kMaxMatchHeaders) {
    context_.mistakes.Add(match.header[kMaxMatchHeaders].name.at,
                          "A rule looks at no more than 16 headers.",
                          "Leave out those that tell least.");
    return;
  }
  for (const HeaderMatchConfig& header : match.header) {
    const auto name = ReadFieldName(header.name.value, header.name.at, context_.mistakes);
    if (!name) continue;
    const std::size_t index = AskHeader(*name);
    if (std::ranges::find(rule_.match_.headers, index, &Match::Header::index) !=
        rule_.match_.headers.end()) {
      context_.mistakes.Add(header.name.at, "The header " + Quoted(*name) + " stands here twice.",
                            "Write it once, with a list of values.");
    }
    rule_.match_.headers.push_back({.index = index, .values = ReadGlobs(header.values, false)});
  }
}

std::size_t RuleCompiler::AskHeader(const std::string& name) {
  auto& asked = context_.asked_headers;
  const auto found = std::ranges::find(asked, name);
  const auto index = static_cast<std::size_t>(found - asked.begin());
  if (found == asked.end()) asked.push_back(name);
  return index;
}

std::optional<KeyPart> RuleCompiler::ReadKeyPart(const Text& text) {
  constexpr std::string_view kHeader = "header:";
  constexpr std::string_view kEntry = "entry:";
  if (text.value.starts_with(kHeader)) {
    const auto name = ReadFieldName(std::string_view(text.value).substr(kHeader.size()), text.at,
                                    context_.mistakes);
    if (!name) return std::nullopt;
    return KeyPart{.kind = KeyKind::kHeader, .header = AskHeader(*name), .text = text.value};
  }
  if (text.value.starts_with(kEntry) && text.value.size() > kEntry.size()) {
    context_.mistakes.Warn(
        text.at, "No door of this version has descriptors, so the client's address stands in.",
        "Leave this part out until the decision service comes.");
    return KeyPart{.kind = KeyKind::kEntry, .text = text.value};
  }
  for (const KeyWord& known : kKeyWords) {
    if (known.word != text.value) continue;
    return KeyPart{.kind = known.kind, .text = text.value};
  }
  context_.mistakes.Add(text.at, "No part of a key is called " + Quoted(text.value) + ".",
                        Suggest(text.value, kKeyParts));
  return std::nullopt;
}

void RuleCompiler::ReadKey() {
  if (!config_.key) {
    context_.mistakes.Add(config_.at, "This rule does not say who is limited.",
                          "Write key: [client], or key: [] for one bucket that all share.");
    return;
  }
  if (config_.key->size() > kMaxKeyParts) {
    context_.mistakes.Add(config_.key->front().at, "A key has at most 8 parts.", "Leave some out.");
    return;
  }
  for (const Text& text : *config_.key) {
    if (auto part = ReadKeyPart(text)) rule_.key_.push_back(std::move(*part));
  }
  if (!rule_.key_.empty()) WarnOfChosenKey(config_.key->front().at);
}

void RuleCompiler::WarnOfChosenKey(Position at) {
  if (std::ranges::none_of(rule_.key_, IsTrusted, &KeyPart::kind)) {
    context_.mistakes.Warn(
        at, "The client chooses every part of this key, so it can always take a fresh one.",
        "Add client, user or api_key.");
  }
  for (const KeyPart& part : rule_.key_) {
    const bool unknown = (part.kind == KeyKind::kUser && !context_.has_users) ||
                         (part.kind == KeyKind::kApiKey && !context_.has_api_keys);
    if (!unknown) continue;
    context_.mistakes.Warn(
        at, "Nothing says what a request's " + part.text + " is, so its address stands in.",
        part.kind == KeyKind::kApiKey
            ? "Write clients: {identity: {api_keys: FILE}}, or key: [client]."
            : "Write clients: {identity: {header: x-user-id}}, {api_keys: FILE} or {jwt: {key: "
              "FILE}}, or key: [client].");
  }
}

Who RuleCompiler::ReadWho(const WhoConfig& config) {
  Who who;
  const std::vector<IpPrefix> prefixes = ReadPrefixes(config.clients, context_.mistakes);
  who.clients = PrefixSet(prefixes);
  for (const Text& user : config.users) who.users.insert(user.value);
  for (const Text& key : config.api_keys) who.api_keys.insert(key.value);
  for (const auto* names : {&config.users, &config.api_keys}) {
    const bool known = names == &config.users ? context_.has_users : context_.has_api_keys;
    if (!known && !names->empty()) {
      context_.mistakes.Warn(
          names->front().at,
          "Nothing says who a request's user or API key is, so this holds for nobody.",
          "Write clients: {identity: {header: x-user-id}}, {api_keys: FILE} or {jwt: {key: "
          "FILE}}.");
    }
    for (const Text& name : *names) {
      if (name.value.empty())
        context_.mistakes.Add(name.at, "This name is empty.", "Write the user's or key's name.");
    }
  }
  who.hash = HashOf(prefixes, who);
  return who;
}

void RuleCompiler::ReadExemptions() { rule_.exempt_ = ReadWho(config_.exempt); }

void RuleCompiler::ReadOverrides(LimitSetCompiler& limits) {
  if (config_.overrides.size() > kMaxOverridesPerRule) {
    context_.mistakes.Add(config_.overrides[kMaxOverridesPerRule].at,
                          "A rule has at most 64 overrides.",
                          "Make a rule of its own for some of them.");
    return;
  }
  for (const OverrideConfig& config : config_.overrides) {
    const bool nobody =
        config.when.clients.empty() && config.when.users.empty() && config.when.api_keys.empty();
    if (nobody) {
      context_.mistakes.Add(config.at, "This override does not say for whom it is.",
                            "Write when: {user: NAME}, {api_key: ID} or {client: NETWORK}.");
    }
    Who who = ReadWho(config.when);
    if (!nobody &&
        std::ranges::find(rule_.overrides_, who.hash, &Who::hash) != rule_.overrides_.end()) {
      context_.mistakes.Warn(config.at,
                             "An override above asks for the same, so this one is never used.",
                             "Leave one of the two out.");
    }
    rule_.overrides_.push_back(std::move(who));
    rule_.variants_.push_back(limits.Compile(config.limits, config.at));
  }
}

void RuleCompiler::ReadPenalty() {
  if (!config_.penalty) return;
  const PenaltyConfig& config = *config_.penalty;
  Mistakes& mistakes = context_.mistakes;
  if (!config.violations || !config.within || !config.ban) {
    mistakes.Add(config.at,
                 "This penalty does not say after how many violations within what time it bans for "
                 "how long.",
                 "Write {violations: 20, within: 1m, ban: 5m}.");
    return;
  }
  const auto violations = ReadNumber(*config.violations, "violations", 1, 1'000'000, mistakes);
  const auto within = ReadDuration(*config.within, "within", mistakes);
  const auto ban = ReadDuration(*config.ban, "ban", mistakes);
  Penalty penalty;
  constexpr std::size_t kMostLevels = 8;
  if (config.escalate.size() > kMostLevels) {
    mistakes.Add(config.escalate[kMostLevels].at, "A penalty has at most 8 levels.",
                 "Leave some out: the last repeats.");
  }
  for (const Text& text : config.escalate) {
    const auto factor = ReadNumber(text, "escalate", 1, 1'000'000, mistakes);
    if (factor) penalty.escalate.push_back(static_cast<std::uint32_t>(*factor));
  }
  if (penalty.escalate.empty()) penalty.escalate.push_back(1);
  penalty.drop = ReadDrop(config.answer, mistakes);
  if (!violations || !within || !ban) return;
  const auto counted = limit::CompiledLimit::Compile({.algorithm = Algorithm::kTokenBucket,
                                                      .quota = *violations,
                                                      .window = *within,
                                                      .refill = *violations,
                                                      .name = {}});
  if (!counted) {
    mistakes.Add(config.within->at,
                 "So many violations within so short a time are finer than the clock.",
                 "Write a longer time, like within: 1m.");
    return;
  }
  if (rule_.key_.empty() && rule_.mode_ == Mode::kEnforce) {
    mistakes.Warn(config.at,
                  "All clients share this rule's one key, so the violations of one ban everybody.",
                  "Leave the penalty out, or write key: [client].");
  }
  penalty.violations = *violations;
  penalty.within = *within;
  penalty.ban = *ban;
  rule_.penalty_ = std::move(penalty);
}

void RuleCompiler::ReadMaxBody() {
  if (!config_.max_body) return;
  const auto bytes = ReadSize(*config_.max_body, "The rule's max_body", context_.mistakes);
  if (!bytes) return;
  rule_.max_body_ = *bytes;
  // Its writer may mean to lift the policy's bound for these requests.
  if (context_.max_body > 0 && (*bytes == 0 || *bytes > context_.max_body)) {
    context_.mistakes.Warn(config_.max_body->at,
                           "The policy's max_body (" + std::to_string(context_.max_body) +
                               " bytes) holds for every request, so this one changes nothing.",
                           "Leave it out, or raise the policy's and give other rules their own.");
  }
}

void RuleCompiler::ReadCost() {
  constexpr std::uint64_t kMost = 0xFFFF'FFFF;
  Cost& cost = rule_.cost_;
  const auto read = [this](const MaybeText& text, std::string_view what, std::uint64_t& into) {
    if (!text) return;
    if (const auto units = ReadNumber(*text, what, 1, kMost, context_.mistakes)) into = *units;
  };
  read(config_.cost.fallback, "The default cost", cost.fallback);
  cost.max = cost.fallback;
  read(config_.cost.max, "The highest cost", cost.max);
  if (config_.cost.max && cost.max < cost.fallback) {
    context_.mistakes.Add(config_.cost.max->at, "The highest cost is below the default cost.",
                          "Write at least " + std::to_string(cost.fallback) + ".");
  }
  if (!config_.cost.argument) {
    if (config_.cost.max) {
      context_.mistakes.Add(
          config_.cost.max->at, "Without arg, every request has the default cost.",
          "Leave max out, or write arg: and the tool's argument that names the cost.");
    }
    return;
  }
  if (!config_.cost.max) {
    context_.mistakes.Add(config_.cost.argument->at,
                          "The client names this cost and nothing bounds it.",
                          "Write max: and the highest cost of one request.");
  }
  if (config_.cost.argument->value.empty()) {
    context_.mistakes.Add(config_.cost.argument->at, "The name of this argument is empty.",
                          "Write the tool's argument that names the cost.");
  }
  auto& asked = context_.asked_arguments;
  const auto found = std::ranges::find(asked, config_.cost.argument->value);
  cost.argument = static_cast<std::size_t>(found - asked.begin());
  if (found == asked.end()) asked.push_back(config_.cost.argument->value);
}

}  // namespace sluicegate::policy
