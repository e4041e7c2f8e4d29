#include <fmt/core.h>

#include <algorithm>

#include "app/commands.h"
#include "app/complain.h"
#include "app/configuration.h"
#include "app/live_state.h"
#include "app/policy_source.h"
#include "app/state_text.h"
#include "app/words.h"
#include "policy/capacity.h"

namespace sluicegate::app {
namespace {

// To two digits.
std::uint64_t RoundedDown(std::uint64_t number) {
  std::uint64_t unit = 1;
  while (number / unit >= 100) unit *= 10;
  return number / unit * unit;
}

void TellCapacity(const policy::Policy& policy) {
  std::size_t width = 4;
  for (const policy::Rule& rule : policy.rules()) width = std::max(width, rule.name().size());
  fmt::print("\n{:<{}}  {:<8}  {:>14}  {:>11}  {:>10}\n", "rule", width, "mode", "keys it holds",
             "memory", "B a key");
  for (const policy::Rule& rule : policy.rules()) {
    const std::uint64_t keys = policy::LiveKeys(rule);
    fmt::print("{:<{}}  {:<8}  {:>14}  {:>11}  {:>10}\n", rule.name(), width, ModeText(rule.mode()),
               CountText(keys), BytesText(rule.memory()), keys == 0 ? 0 : rule.memory() / keys);
  }
  bool forgets = false;
  for (const policy::Rule& rule : policy.rules()) {
    const std::uint64_t offenders = policy::RememberedOffenders(rule);
    forgets |= offenders == 0 && policy::LiveKeys(rule) > 0 && rule.rates().slot_bytes > 0;
    if (offenders == 0) continue;
    fmt::print("\n{}: its sketch remembers about {} offenders beyond these.\n", rule.name(),
               CountText(RoundedDown(offenders)));
  }
  for (const policy::Rule& rule : policy.rules()) {
    const std::uint64_t keys = policy::KeysInFlight(rule);
    if (keys == 0) continue;
    fmt::print("\n{}: {} keys may have requests in flight; further ones count by network.\n",
               rule.name(), CountText(keys));
  }
  fmt::print(
      "\nA key is held until its limits are as if never used: a day for a limit by the day. When "
      "a\n"
      "rule's memory is full, the key that used least gives way and starts afresh{}.\n",
      forgets ? ""
              : "; an offender\n"
                "is denied until the limits that it was at are clear");
}

// What a start with this policy would find, where its state file is there already. False: it would
// be refused.
bool TellState(const PolicySource::PolicyPtr& policy) {
  const std::string& path = policy->settings().state_file;
  if (!IsThere(path)) return true;
  const auto live = LookAtState(policy);
  if (!live) {
    TellLines("", {live.error()});
    return false;
  }
  fmt::print(
      "\n{}: {} attached. A start with this policy takes over what they counted by the same "
      "keys{}\n",
      path, ProcessesText(live->report.owners), live->lines.empty() ? "." : ", but for this:");
  for (const std::string& line : live->lines) fmt::print("  {}\n", line);
  return true;
}

int TellMistakes(const PolicySource& source, const Lines& mistakes) {
  TellLines("", mistakes);
  Complain("{}: {} to mend.\n", source.name(),
           mistakes.size() == 1 ? "1 mistake" : fmt::format("{} mistakes", mistakes.size()));
  return 1;
}

}  // namespace

int Check(const std::string& file) {
  const PolicySource source(file);
  const auto policy = source.Load();
  if (!policy) return TellMistakes(source, policy.error());
  const policy::Settings& settings = (*policy)->settings();
  const Lines mistakes = Configuration::FindMistakes(settings);
  if (!mistakes.empty()) return TellMistakes(source, mistakes);
  const Lines warnings = source.Warnings(**policy);
  TellLines("warning: ", warnings);
  TellLines("note: ", Configuration::FindMissing(source, settings));
  fmt::print("{}: good. {} rule(s), {} warning(s){}.\n", source.name(), (*policy)->rules().size(),
             warnings.size(),
             (*policy)->enabled() ? "" : "; enabled: false, so nothing is limited");
  TellCapacity(**policy);
  return TellState(*policy) ? 0 : 1;
}

}  // namespace sluicegate::app
