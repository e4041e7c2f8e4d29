#include "config/reader.h"

#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>

#include "config/door_reader.h"
#include "config/keys.h"

namespace sluicegate::config {
namespace {

using policy::Config;
using policy::Mistake;
using policy::Position;

constexpr std::size_t kMaxNodes =
    100'000;                           // A file of 1 MiB with honest rules has a third of them.
constexpr std::size_t kMaxDepth = 32;  // The deepest map that means something is 6 down.

Position At(const YAML::Mark& mark) {
  return {.line = static_cast<std::uint32_t>(mark.line + 1),
          .column = static_cast<std::uint32_t>(mark.column + 1)};
}

// Looks at a document before it is built: an alias can make a few bytes mean gigabytes, depth can
// end the stack.
class Inspector final : public YAML::EventHandler {
 public:
  explicit Inspector(MistakeList& mistakes) : mistakes_(mistakes) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2)
      Refuse(mark, "There is a second document here.", "Remove the --- and what is behind it.");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Count(mark, anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    if (std::exchange(told_alias_, true)) return;
    Refuse(mark, "Aliases are not read here.", "Write the value out.");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                const std::string& /*value*/) override {
    Count(mark, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    Open(mark, anchor);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    Open(mark, anchor);
  }
  void OnMapEnd() override { --depth_; }

  [[nodiscard]] std::size_t documents() const { return documents_; }

 private:
  void Refuse(const YAML::Mark& mark, std::string what, std::string mend) {
    mistakes_.push_back({.at = At(mark), .what = std::move(what), .mend = std::move(mend)});
  }
  void Count(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0 && !std::exchange(told_anchor_, true))
      Refuse(mark, "Anchors are not read here.", "Write the value out where it is used.");
    if (++nodes_ == kMaxNodes)
      Refuse(mark, "The file has more than 100000 values.", "Split the policy.");
  }
  void Open(const YAML::Mark& mark, YAML::anchor_t anchor) {
    Count(mark, anchor);
    if (++depth_ == kMaxDepth && !std::exchange(told_depth_, true))
      Refuse(mark, "Maps and lists are nested 32 deep here.", "Nothing of a policy is.");
  }

  MistakeList& mistakes_;
  std::size_t documents_ = 0;
  std::size_t nodes_ = 0;
  std::size_t depth_ = 0;
  // Each is told once: a file of nothing else would have a message for every second byte.
  bool told_alias_ = false;
  bool told_anchor_ = false;
  bool told_depth_ = false;
};

class Reader {
 public:
  explicit Reader(MistakeList& mistakes) : mistakes_(mistakes) {}

  Config Read(const YAML::Node& root) {
    Config config;
    if (root.IsSequence()) {
      mistakes_.push_back({.at = PositionOf(root),
                           .what = "The policy begins with a list.",
                           .mend = "Write rules: above it, and the list further in."});
      return config;
    }
    const MapReader top(root, "The policy", keys::kTop, mistakes_);
    config.enabled = top.Scalar("enabled");
    config.max_body = top.Scalar("max_body");
    if (top.Has("headers")) config.headers = top.List("headers");
    config.access_log = top.Scalar("access_log");
    config.request_id = top.Scalar("request_id");
    top.With("listen",
             [&](const YAML::Node& node) { config.listen = ReadListen(node, mistakes_); });
    top.With("upstream",
             [&](const YAML::Node& node) { config.upstream = ReadUpstream(node, mistakes_); });
    top.With("connections", [&](const YAML::Node& node) {
      config.connections = ReadConnections(node, mistakes_);
    });
    top.With("clients", [&](const YAML::Node& node) { ReadClients(node, config.clients); });
    top.With("state", [&](const YAML::Node& node) {
      const MapReader state(node, "state", keys::kState, mistakes_);
      config.state_memory = state.Scalar("memory");
      config.state_sketch = state.Scalar("sketch");
      config.state_file = state.Scalar("file");
    });
    top.With("timeouts", [&](const YAML::Node& node) { ReadTimeouts(node, config.timeouts); });
    top.With("admin", [&](const YAML::Node& node) {
      config.admin_token_file =
          MapReader(node, "admin", keys::kAdmin, mistakes_).Scalar("token_file");
    });
    top.With("mcp", [&](const YAML::Node& node) { config.mcp = ReadMcp(node); });
    top.ForEach("rules", [&](const YAML::Node& node) {
      policy::RuleConfig rule = ReadRule(node);
      // What is no map is told; that it has no name either helps nobody.
      if (node.IsMap()) config.rules.push_back(std::move(rule));
    });
    return config;
  }

 private:
  void ReadClients(const YAML::Node& node, policy::ClientsConfig& clients) {
    const MapReader map(node, "clients", keys::kClients, mistakes_);
    clients.trusted_proxies = map.List("trusted_proxies");
    clients.trusted_hops = map.Scalar("trusted_hops");
    clients.forwarded = map.Scalar("forwarded");
    map.With("identity", [&](const YAML::Node& child) {
      const MapReader identity(child, "clients.identity", keys::kIdentity, mistakes_);
      clients.identity_header = identity.Scalar("header");
      clients.identity_api_keys = identity.Scalar("api_keys");
      identity.With("jwt", [&](const YAML::Node& jwt) {
        const MapReader tokens(jwt, "clients.identity.jwt", keys::kTokens, mistakes_);
        if (!jwt.IsMap()) return;
        clients.identity_jwt = policy::TokensConfig{.at = PositionOf(jwt),
                                                    .key = tokens.Scalar("key"),
                                                    .issuer = tokens.Scalar("issuer"),
                                                    .audience = Condition(tokens, "audience"),
                                                    .claim = tokens.Scalar("claim")};
      });
    });
  }

  void ReadTimeouts(const YAML::Node& node, policy::TimeoutsConfig& timeouts) {
    const MapReader map(node, "timeouts", keys::kTimeouts, mistakes_);
    timeouts = {.header = map.Scalar("header"),
                .idle = map.Scalar("idle"),
                .upstream = map.Scalar("upstream"),
                .connect = map.Scalar("connect"),
                .drain = map.Scalar("drain"),
                .tunnel = map.Scalar("tunnel"),
                .half_closed = map.Scalar("half_closed")};
  }

  policy::McpConfig ReadMcp(const YAML::Node& node) {
    policy::McpConfig mcp;
    mcp.at = PositionOf(node);
    const MapReader map(node, "mcp", keys::kMcp, mistakes_);
    if (map.Has("paths")) mcp.paths = map.List("paths");
    mcp.max_message = map.Scalar("max_message");
    map.With("over_limit", [&](const YAML::Node& child) {
      const MapReader forms(child, "mcp.over_limit", keys::kOverLimit, mistakes_);
      mcp.tools = forms.Scalar("tools");
      mcp.status = forms.Scalar("status");
      mcp.code = forms.Scalar("code");
    });
    return mcp;
  }

  policy::RuleConfig ReadRule(const YAML::Node& node) {
    const MapReader map(node, "A rule", keys::kRule, mistakes_);
    policy::RuleConfig rule;
    rule.at = PositionOf(node);
    rule.name = map.Scalar("name");
    rule.mode = map.Scalar("mode");
    rule.memory = map.Scalar("memory");
    rule.max_body = map.Scalar("max_body");
    rule.new_keys = map.Scalar("new_keys");
    rule.saturated = map.Scalar("saturated");
    rule.fail = map.Scalar("fail");
    if (map.Has("key")) rule.key = map.List("key");
    map.With("match", [&](const YAML::Node& child) { ReadMatch(child, rule.match); });
    rule.limits = ReadLimits(map);
    map.With("ceilings", [&](const YAML::Node& child) { ReadCeilings(child, rule.ceilings); });
    map.With("exempt", [&](const YAML::Node& child) {
      const MapReader who(child, "exempt", keys::kExempt, mistakes_);
      rule.exempt = {.clients = who.List("clients"),
                     .users = who.List("users"),
                     .api_keys = who.List("api_keys")};
    });
    map.ForEach("overrides", [&](const YAML::Node& child) {
      policy::OverrideConfig one = ReadOverride(child);
      if (child.IsMap()) rule.overrides.push_back(std::move(one));
    });
    map.With("penalty", [&](const YAML::Node& child) { rule.penalty = ReadPenalty(child); });
    map.With("cost", [&](const YAML::Node& child) { ReadCost(child, rule.cost); });
    return rule;
  }

  void ReadMatch(const YAML::Node& node, policy::MatchConfig& match) {
    const MapReader map(node, "match", keys::kMatch, mistakes_);
    match.path = Condition(map, "path");
    match.method = Condition(map, "method");
    match.host = Condition(map, "host");
    match.mcp_method = Condition(map, "mcp_method");
    match.mcp_tool = Condition(map, "mcp_tool");
    map.With("header", [&](const YAML::Node& child) {
      if (!child.IsMap()) {
        mistakes_.push_back({.at = PositionOf(child),
                             .what = "header is no map.",
                             .mend = "Write {NAME: VALUE}, like {x-plan: free}."});
        return;
      }
      RefuseEmpty(child);
      for (const auto& entry : child) {
        const auto name = ScalarOf(entry.first, "The header's name", mistakes_);
        if (name) match.header.push_back({.name = *name, .values = Values(entry.second)});
      }
    });
  }

  // An empty list or map would hold for every request, where its writer may mean none.
  void RefuseEmpty(const YAML::Node& node) {
    if (!(node.IsSequence() || node.IsMap()) || node.size() > 0) return;
    mistakes_.push_back({.at = PositionOf(node),
                         .what = std::string(node.IsMap() ? "This map" : "This list") +
                                 " is empty, so it says nothing of a request.",
                         .mend = "Leave it out, or write what must match."});
  }

  std::vector<policy::Text> Condition(const MapReader& map, std::string_view key) {
    map.With(key, [this](const YAML::Node& child) { RefuseEmpty(child); });
    return map.List(key);
  }

  std::vector<policy::Text> Values(const YAML::Node& node) {
    RefuseEmpty(node);
    std::vector<policy::Text> values;
    if (!node.IsSequence()) {
      if (auto text = ScalarOf(node, "The header's value", mistakes_))
        values.push_back(std::move(*text));
      return values;
    }
    for (const YAML::Node& element : node) {
      if (auto text = ScalarOf(element, "The header's value", mistakes_))
        values.push_back(std::move(*text));
    }
    return values;
  }

  std::vector<policy::LimitConfig> ReadLimits(const MapReader& map) {
    std::vector<policy::LimitConfig> limits;
    const auto read = [&](const YAML::Node& node) {
      policy::LimitConfig limit = ReadLimit(node);
      if (node.IsMap() || node.IsScalar()) limits.push_back(std::move(limit));
    };
    map.ForEach("limits", read, MapReader::kOneAlone);
    return limits;
  }

  policy::LimitConfig ReadLimit(const YAML::Node& node) {
    policy::LimitConfig limit;
    limit.at = PositionOf(node);
    if (node.IsScalar()) {
      limit.limit = ScalarOf(node, "A limit", mistakes_);
      return limit;
    }
    const MapReader map(node, "A limit", keys::kLimit, mistakes_);
    limit.limit = map.Scalar("limit");
    limit.algorithm = map.Scalar("algorithm");
    limit.name = map.Scalar("name");
    limit.burst = map.Scalar("burst");
    limit.refill = map.Scalar("refill");
    limit.concurrency = map.Scalar("concurrency");
    limit.lease = map.Scalar("lease");
    return limit;
  }

  void ReadCeilings(const YAML::Node& node, std::vector<policy::CeilingConfig>& ceilings) {
    if (!node.IsMap()) {
      mistakes_.push_back({.at = PositionOf(node),
                           .what = "ceilings is no map.",
                           .mend = "Write {PREFIX: xN}, like {56: x4, 48: x16}."});
      return;
    }
    for (const auto& entry : node) {
      const auto prefix = ScalarOf(entry.first, "A ceiling's prefix length", mistakes_);
      const auto factor = ScalarOf(entry.second, "A ceiling's factor", mistakes_);
      if (prefix && factor) ceilings.push_back({.prefix = *prefix, .factor = *factor});
    }
  }

  policy::OverrideConfig ReadOverride(const YAML::Node& node) {
    const MapReader map(node, "An override", keys::kOverride, mistakes_);
    policy::OverrideConfig result;
    result.at = PositionOf(node);
    map.With("when", [&](const YAML::Node& child) {
      const MapReader when(child, "when", keys::kWhen, mistakes_);
      result.when = {.clients = Condition(when, "client"),
                     .users = Condition(when, "user"),
                     .api_keys = Condition(when, "api_key")};
    });
    result.limits = ReadLimits(map);
    return result;
  }

  policy::PenaltyConfig ReadPenalty(const YAML::Node& node) {
    const MapReader map(node, "penalty", keys::kPenalty, mistakes_);
    return {.at = PositionOf(node),
            .violations = map.Scalar("violations"),
            .within = map.Scalar("within"),
            .ban = map.Scalar("ban"),
            .escalate = map.List("escalate"),
            .answer = map.Scalar("answer")};
  }

  void ReadCost(const YAML::Node& node, policy::CostConfig& cost) {
    if (node.IsScalar()) {  // cost: 5
      cost.fallback = ScalarOf(node, "cost", mistakes_);
      return;
    }
    const MapReader map(node, "cost", keys::kCost, mistakes_);
    cost = {
        .fallback = map.Scalar("default"), .argument = map.Scalar("arg"), .max = map.Scalar("max")};
  }

  MistakeList& mistakes_;
};

// Anchors, aliases, depth, size and documents; false if the text must not be built.
bool Inspect(const std::string& text, MistakeList& mistakes) {
  std::istringstream input(text);
  YAML::Parser parser(input);
  Inspector inspector(mistakes);
  while (inspector.documents() < 2 && parser.HandleNextDocument(inspector)) {
  }
  return mistakes.empty();
}

// The length of the UTF-8 sequence that `text` begins with; 0 if it is none (RFC 3629: no overlong
// forms, no surrogates, nothing above U+10FFFF).
std::size_t Utf8Length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xC2   ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  const bool bad = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
                   (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F);
  return bad ? 0 : length;
}

// Bytes that no YAML text has: told here, as the parser's own words for them help nobody. Columns
// count bytes, as the parser's do.
bool CheckBytes(std::string_view yaml, MistakeList& mistakes) {
  Position at{.line = 1, .column = 1};
  const auto refuse = [&](std::string what) {
    mistakes.push_back(
        {.at = at, .what = std::move(what), .mend = "Save the file as plain UTF-8 text."});
    return false;
  };
  while (!yaml.empty()) {
    const char c = yaml.front();
    const auto byte = static_cast<unsigned char>(c);
    const bool control = (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7F;
    if (control)
      return refuse("There is a control character here (byte " + std::to_string(byte) + ").");
    const std::size_t length = Utf8Length(yaml);
    if (length == 0) return refuse("These bytes are no UTF-8 (byte " + std::to_string(byte) + ").");
    // U+0080 to U+009F steer terminals as well; U+0085 is YAML's next line.
    const auto second = static_cast<unsigned char>(length == 2 ? yaml[1] : 0);
    if (byte == 0xC2 && second < 0xA0 && second != 0x85)
      return refuse("There is a control character here (bytes 194 " + std::to_string(second) +
                    ").");
    at = c == '\n'
             ? Position{.line = at.line + 1, .column = 1}
             : Position{.line = at.line, .column = at.column + static_cast<std::uint32_t>(length)};
    yaml.remove_prefix(length);
  }
  return true;
}

Mistake NotYaml(std::string_view yaml, const YAML::Exception& error) {
  Mistake mistake{.at = At(error.mark),
                  .what = "This is not YAML: " + error.msg + ".",
                  .mend = "Check the indentation, colons, quotes and brackets here."};
  for (int line = 0; line < error.mark.line; ++line) yaml.remove_prefix(yaml.find('\n') + 1);
  // A pattern without quotes: the parser takes it for an alias, and stops at it or within it.
  const std::string_view line = yaml.substr(0, yaml.find('\n'));
  const auto stop = static_cast<std::size_t>(std::max(error.mark.column, 0));
  const std::size_t before = line.substr(0, stop).find_last_of(" \t[{,");
  const std::size_t word = before == std::string_view::npos ? 0 : before + 1;
  if (word < line.size() && (line[word] == '*' || line[word] == '&')) {
    mistake.at.column = static_cast<std::uint32_t>(word + 1);
    mistake.mend = "Write the text in quotes, like '/**': bare, * and & mean something else.";
    return mistake;
  }
  const std::string_view indentation = yaml.substr(0, yaml.find_first_not_of(" \t"));
  const std::size_t tab = indentation.find('\t');
  if (tab == std::string_view::npos) return mistake;
  mistake.at.column = static_cast<std::uint32_t>(tab + 1);
  mistake.what = "This is not YAML: there is a tab in the indentation.";
  mistake.mend = "Write spaces.";
  return mistake;
}

}  // namespace

Config ReadConfig(std::string_view yaml, MistakeList& mistakes) {
  if (!CheckBytes(yaml, mistakes)) return {};
  // yaml-cpp tells its errors by exceptions; they end here.
  try {
    const std::string text(yaml);
    if (!Inspect(text, mistakes)) return {};
    const YAML::Node root = YAML::Load(text);
    if (!root.IsDefined() || root.IsNull()) {
      mistakes.push_back(
          {.at = {.line = 1, .column = 1},
           .what = "The policy is empty.",
           .mend = "Write rules: with at least one rule; doc/policy.md has an example."});
      return {};
    }
    return Reader(mistakes).Read(root);
  } catch (const YAML::Exception& error) {
    // The parser gives up at a depth that is told already.
    if (mistakes.empty()) mistakes.push_back(NotYaml(yaml, error));
  }
  return {};
}

}  // namespace sluicegate::config
