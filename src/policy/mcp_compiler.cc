#include "policy/mcp_compiler.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "policy/rule.h"
#include "policy/values.h"
#include "policy/words.h"

namespace sluicegate::policy {
namespace {

constexpr std::string_view kDefaultPath = "/mcp";
constexpr std::size_t kMostMessage = std::size_t{64} << 20U;
constexpr std::size_t kBuiltInMemory = std::size_t{1} << 20U;
constexpr std::size_t kBuiltInShare = 32;  // Of state.memory, each.

// Handshakes and lists cost little; an office of a hundred agents behind one address starts within
// a minute, and a loop is stopped. Each initialize may leave a session in the server.
constexpr std::array kBuiltIn = {
    BuiltInRule{.name = "mcp-setup", .reserved = McpClass::kSetup},
    BuiltInRule{.name = "mcp-initialize", .reserved = McpClass::kSetup},
    BuiltInRule{.name = "mcp-streams", .reserved = McpClass::kStream},
};
static_assert(kBuiltIn.size() == kBuiltInRules);

Text Plain(std::string value) { return {.value = std::move(value), .at = {}}; }

// With a name that no rule of the file is likely to give a limit: one that two rules have is told
// with its rule's.
LimitConfig Quota(std::string name, std::string text) {
  LimitConfig limit;
  limit.name = Plain(std::move(name));
  limit.limit = Plain(std::move(text));
  return limit;
}

RuleConfig MakeRule(std::string_view name, bool has_users) {
  RuleConfig rule;
  rule.name = Plain(std::string(name));
  rule.key = {Plain(has_users ? "user" : "client")};
  if (name == "mcp-initialize") {
    rule.match.mcp_method = {Plain("initialize")};
    rule.key = {Plain("client")};
    rule.limits = {Quota("initialize", "300/minute")};
  } else if (name == "mcp-setup") {
    rule.limits = {Quota("setup", "600/minute")};
  } else {
    LimitConfig places;
    places.name = Plain("streams");
    places.concurrency = Plain("64");
    places.lease = Plain("5m");
    rule.limits = {Quota("opened", "120/minute"), std::move(places)};
  }
  return rule;
}

bool AnyMatches(std::span<const Glob> globs, std::string_view text) {
  return std::ranges::any_of(globs, [text](const Glob& glob) { return glob.Matches(text); });
}

bool AsksForMcp(const RuleConfig& rule) {
  const auto names_mcp = [](const Text& part) { return part.value.starts_with("mcp_"); };
  return !rule.match.mcp_method.empty() || !rule.match.mcp_tool.empty() || rule.cost.argument ||
         (rule.key && std::ranges::any_of(*rule.key, names_mcp));
}

void ReadPaths(const std::vector<Text>& paths, Mistakes& mistakes, Mcp& mcp) {
  mcp.paths.clear();
  if (paths.size() > kMaxPatterns) {
    mistakes.Add(paths[kMaxPatterns].at, "mcp.paths has more than 64 patterns.",
                 "Join some with stars.");
    return;
  }
  for (const Text& path : paths) {
    std::string folded = path.value;  // As paths are compared.
    std::ranges::transform(folded, folded.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    while (folded.size() > 1 && folded.ends_with('/')) folded.pop_back();
    auto glob =
        folded.starts_with('/') ? Glob::Compile(folded, Glob::Subject::kPath) : std::nullopt;
    if (glob) {
      mcp.paths.push_back(std::move(*glob));
    } else {
      mistakes.Add(path.at, Quoted(path.value) + " is no path of an MCP endpoint.",
                   "Write one that begins with a slash, like /mcp, of at most 250 bytes.");
    }
  }
}

void ReadForms(const McpConfig& config, Mistakes& mistakes, Mcp& mcp) {
  constexpr std::array<std::string_view, 2> kForms = {"result", "error"};
  if (config.tools) {
    const std::string& form = config.tools->value;
    if (std::ranges::find(kForms, form) == kForms.end()) {
      mistakes.Add(config.tools->at, "No form of a denied call is called " + Quoted(form) + ".",
                   Suggest(form, kForms));
    }
    mcp.tool_results = form == "result";
  }
  if (config.status) {
    const auto status = ReadNumber(*config.status, "mcp.over_limit.status", 200, 429, mistakes);
    if (status && *status != 200 && *status != 429) {
      mistakes.Add(config.status->at, "A denied request of MCP is answered 200 or 429.",
                   "Write 200, which every client reads, or 429.");
    }
    if (status) mcp.status = static_cast<std::uint16_t>(*status);
  }
  if (config.code) {
    if (config.code->value == "-32000" || config.code->value == "429") {
      mcp.code = config.code->value == "429" ? 429 : -32000;
    } else {
      mistakes.Add(config.code->at, "The code of a denied request of MCP is 429 or -32000.",
                   "Write 429, or -32000 for clients that FastMCP's own limiter answered.");
    }
  }
}

}  // namespace

Mcp CompileMcp(const Config& config, Mistakes& mistakes) {
  Mcp mcp;
  mcp.own_budgets = config.mcp.has_value() || std::ranges::any_of(config.rules, AsksForMcp);
  mcp.paths.push_back(*Glob::Compile(kDefaultPath, Glob::Subject::kPath));
  if (!config.mcp) return mcp;
  if (config.mcp->paths) ReadPaths(*config.mcp->paths, mistakes, mcp);
  if (config.mcp->max_message) {
    const auto bytes = ReadSize(*config.mcp->max_message, "mcp.max_message", mistakes);
    if (bytes && (*bytes < 1024 || *bytes > kMostMessage)) {
      mistakes.Add(config.mcp->max_message->at, "mcp.max_message is below 1 KiB or above 64 MiB.",
                   "Write a size between, like 4MiB; 1MiB is the default.");
    } else if (bytes) {
      mcp.max_message = *bytes;
    }
  }
  ReadForms(*config.mcp, mistakes, mcp);
  if (mcp.paths.empty() && std::ranges::any_of(config.rules, AsksForMcp)) {
    mistakes.Warn(config.mcp->at,
                  "No path is one of MCP, so the gateway knows no tool and no method of it.",
                  "Write mcp: {paths: [/mcp]}, or leave paths out.");
  }
  return mcp;
}

void WarnOfUnmetMcp(const RuleConfig& config, const Match& match, const Mcp& mcp,
                    Mistakes& mistakes) {
  const bool asks_tool = !config.match.mcp_tool.empty();
  if (!asks_tool && config.match.mcp_method.empty()) return;
  const Position at = (asks_tool ? config.match.mcp_tool : config.match.mcp_method).front().at;
  if (asks_tool && !match.mcp_methods.empty() && !AnyMatches(match.mcp_methods, "tools/call")) {
    mistakes.Warn(at, "Only tools/call has a tool, so this rule matches no message.",
                  "Leave mcp_method or mcp_tool out.");
  }
  if (!match.methods.empty() && std::ranges::find(match.methods, "POST") == match.methods.end()) {
    mistakes.Warn(at, "Messages of MCP come by POST, so this rule matches none.",
                  "Leave method out.");
  }
  // Patterns of both sides may meet somewhere.
  const auto unmet = [&match](const Glob& path) {
    return path.pattern().find('*') == std::string::npos &&
           !AnyMatches(match.paths, path.pattern());
  };
  if (!match.paths.empty() && !mcp.paths.empty() && std::ranges::all_of(mcp.paths, unmet)) {
    mistakes.Warn(at, "None of this rule's paths is one of MCP, so it matches no message.",
                  "Leave path out, or name it in mcp: {paths: [...]} as well.");
  }
}

std::span<const BuiltInRule> BuiltInRules() noexcept { return kBuiltIn; }

std::vector<RuleConfig> MakeBuiltInRules(const Config& config, std::size_t memory, bool has_users) {
  std::vector<RuleConfig> made;
  for (const BuiltInRule& rule : kBuiltIn) {
    const bool own = std::ranges::any_of(config.rules, [&](const RuleConfig& other) {
      return other.name && other.name->value == rule.name;
    });
    if (own) continue;
    made.push_back(MakeRule(rule.name, has_users));
    const std::size_t bytes = std::min(kBuiltInMemory, memory / kBuiltInShare);
    made.back().memory = Plain(std::to_string(bytes));
  }
  return made;
}

}  // namespace sluicegate::policy
