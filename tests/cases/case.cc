#include "case.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <string_view>

#include "sluicegate/limit.h"

namespace sluicegate::cases {
namespace {

// Where simulated time begins: far from zero, so that a case may step back, and at an edge of every
// default window's slices (a week's are 40,320 s long, the others divide it), so that cases are
// round.
constexpr std::uint64_t kEngineStartNs = 14ULL * 24 * 3600 * 1'000'000'000;
constexpr std::int64_t kDefaultUnixStart = 1'767'225'600;  // 2026-01-01T00:00:00Z, a Thursday.

class Loader {
 public:
  explicit Loader(std::string file) : file_(std::move(file)) {}

  std::vector<Case> Load() {
    std::vector<Case> cases;
    for (const YAML::Node& node : YAML::LoadFile(file_)["cases"]) cases.push_back(ReadCase(node));
    return cases;
  }

 private:
  [[noreturn]] void Fail(const YAML::Node& node, const std::string& what) const {
    throw std::runtime_error(file_ + ":" + std::to_string(node.Mark().line + 1) + ": " + what);
  }

  void RefuseUnknown(const YAML::Node& map, const std::set<std::string>& known) const {
    for (const auto& entry : map) {
      const auto key = entry.first.as<std::string>();
      if (!known.contains(key)) Fail(entry.first, "a case knows no key '" + key + "'");
    }
  }

  Case ReadCase(const YAML::Node& node) {
    RefuseUnknown(node, {"name", "policy", "start", "steps"});
    Case result{.file = file_,
                .name = node["name"].as<std::string>(),
                .policy = YAML::Dump(node["policy"]),
                .engine_only = false,
                .steps = {}};
    start_unix_ = node["start"] ? node["start"].as<std::int64_t>() : kDefaultUnixStart;
    at_ns_ = 0;
    wall_step_ns_ = 0;
    for (const YAML::Node& step : node["steps"]) {
      result.steps.push_back(ReadStep(step));
      const Step& last = result.steps.back();
      result.engine_only =
          result.engine_only || last.give_back || last.in_flight || last.cost.has_value();
    }
    return result;
  }

  // "1m", "-30s" or "0s".
  std::int64_t ReadSigned(const YAML::Node& node) const {
    auto text = node.as<std::string>();
    const bool negative = text.starts_with('-');
    const auto length = ParseDuration(std::string_view(text).substr(negative ? 1 : 0));
    if (!length) Fail(node, length.error());
    return negative ? -length->count() : length->count();
  }

  std::uint64_t ReadLength(const YAML::Node& node) const {
    if (node.as<std::string>() == "never") return Decision::kNever;
    return static_cast<std::uint64_t>(ReadSigned(node));
  }

  Step ReadStep(const YAML::Node& node) {
    RefuseUnknown(node, {"at",        "wall_step", "times",       "reload",      "give_back",
                         "in_flight", "client",    "method",      "path",        "host",
                         "user",      "headers",   "cost",        "want",        "rule",
                         "limit",     "quota",     "remaining",   "mcp_method",  "mcp_tool",
                         "mcp_args",  "hold",      "retry_after", "reset_after", "shared"});
    Step step;
    step.line = node.Mark().line + 1;
    if (node["at"]) at_ns_ = ReadSigned(node["at"]);
    if (node["wall_step"]) wall_step_ns_ += ReadSigned(node["wall_step"]);
    step.now = {.engine_ns = kEngineStartNs + static_cast<std::uint64_t>(at_ns_),
                .unix_ns = start_unix_ * 1'000'000'000 + at_ns_ + wall_step_ns_};
    if (node["times"]) step.times = node["times"].as<unsigned>();
    if (node["reload"]) step.reload = YAML::Dump(node["reload"]);
    step.give_back = node["give_back"] && node["give_back"].as<bool>();
    step.in_flight = node["in_flight"] && node["in_flight"].as<bool>();
    step.client = Text(node["client"], "203.0.113.7");
    step.mcp_method = Text(node["mcp_method"], "");
    step.mcp_tool = Text(node["mcp_tool"], "");
    step.mcp_args = Text(node["mcp_args"], "");
    step.method = Text(node["method"], step.mcp_method.empty() ? "GET" : "POST");
    step.path = Text(node["path"], step.mcp_method.empty() ? "/" : "/mcp");
    step.host = Text(node["host"], "example.test");
    step.user = Text(node["user"], "");
    for (const auto& header : node["headers"]) {
      step.headers[header.first.as<std::string>()] = header.second.as<std::string>();
    }
    if (node["cost"]) step.cost = node["cost"].as<std::uint64_t>();
    if (!step.reload && !step.give_back) step.want = ReadExpectation(node);
    return step;
  }

  static std::string Text(const YAML::Node& node, const char* otherwise) {
    return node ? node.as<std::string>() : otherwise;
  }

  Expectation ReadExpectation(const YAML::Node& node) const {
    Expectation want;
    if (!node["want"]) Fail(node, "a request wants a verdict: want: allowed");
    const auto verdict = node["want"].as<std::string>();
    constexpr std::array kVerdicts = {Verdict::kAllowed, Verdict::kLimited, Verdict::kBanned,
                                      Verdict::kShed, Verdict::kExempt};
    const auto* const found = std::ranges::find(kVerdicts, verdict, VerdictName);
    if (found == kVerdicts.end()) Fail(node["want"], "no verdict is called '" + verdict + "'");
    want.verdict = *found;
    if (node["rule"]) want.rule = node["rule"].as<std::string>();
    if (node["limit"]) want.limit = node["limit"].as<std::string>();
    if (node["quota"]) want.quota = node["quota"].as<std::uint64_t>();
    if (node["remaining"]) want.remaining = node["remaining"].as<std::uint64_t>();
    if (node["hold"]) want.hold_ns = ReadLength(node["hold"]);
    if (node["retry_after"]) want.retry_after_ns = ReadLength(node["retry_after"]);
    if (node["reset_after"]) want.reset_after_ns = ReadLength(node["reset_after"]);
    if (node["shared"]) want.shared_bits = node["shared"].as<std::uint64_t>();
    return want;
  }

  const std::string file_;
  std::int64_t start_unix_ = kDefaultUnixStart;
  std::int64_t at_ns_ = 0;         // Of the step before.
  std::int64_t wall_step_ns_ = 0;  // What wall time was set forward or back so far.
};

}  // namespace

std::string MessageOf(const Step& step) {
  std::string text = R"({"jsonrpc":"2.0","id":1,"method":")" + step.mcp_method + "\"";
  if (step.mcp_tool.empty()) return text + "}";
  text += R"(,"params":{"name":")" + step.mcp_tool + "\"";
  if (!step.mcp_args.empty()) text += R"(,"arguments":)" + step.mcp_args;
  return text + "}}";
}

std::vector<Case> LoadCases(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<Case> all;
  for (const auto& file : files) {
    for (Case& one : Loader(file.string()).Load()) all.push_back(std::move(one));
  }
  return all;
}

}  // namespace sluicegate::cases
