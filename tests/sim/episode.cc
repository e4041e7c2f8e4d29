#include "episode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "config/load.h"
#include "policy/capacity.h"

namespace sluicegate::sim {
namespace {

constexpr std::size_t kMostRecords = 4000;
constexpr std::size_t kMostLines = 40;  // Of a report.
constexpr std::size_t kMostCharges = 300;
constexpr std::size_t kMostInstants = 64;
constexpr std::uint64_t kDayNs = 86'400'000'000'000;
constexpr std::uint64_t kHorizonNs = 40 * kDayNs;

std::uint64_t Mixed(std::uint64_t seed, std::uint64_t number) {
  return Random(seed ^ (number * 0x9e3779b97f4a7c15U)).Next();
}

Setting SettingOf(Random& random, bool roomy) {
  constexpr std::array<std::uint64_t, 5> kLongest = {2'000, 1'000'000, 1'000'000'000,
                                                     3'600'000'000'000, 2 * kDayNs};
  return {.roomy = roomy, .longest_ns = random.OneOf(kLongest)};
}

SimClock ClockOf(Random& random, const Setting& setting) {
  const std::uint64_t start_ns = random.Percent(30) ? 1 : random.Magnitude(std::uint64_t{1} << 55U);
  const std::int64_t wall_ns =
      1'767'225'600'000'000'000 + static_cast<std::int64_t>(random.Below(400 * kDayNs));
  const std::uint64_t turn_ns =
      random.Percent(50) ? 0 : random.Magnitude(setting.longest_ns / 40 + 1);
  return {{.engine_ns = start_ns, .unix_ns = wall_ns}, turn_ns};
}

std::string ToText(const Decision& decision) {
  std::string text(VerdictName(decision.verdict));
  if (decision.rule != Decision::kNone) text += " by rule " + std::to_string(decision.rule);
  if (decision.limit != Decision::kNone) {
    text += " set " + std::to_string(decision.variant) + " limit " +
            std::to_string(decision.limit) + "/" + std::to_string(decision.shared_bits);
  }
  return text + ": quota " + std::to_string(decision.quota) + ", remaining " +
         std::to_string(decision.remaining) + ", retry " + NumberText(decision.retry_after_ns) +
         ", hold " + NumberText(decision.hold_ns) + ", reset " +
         NumberText(decision.reset_after_ns);
}

}  // namespace

Episode::Episode(const Options& options, Tally& tally)
    : options_(options),
      tally_(tally),
      random_(Mixed(options.seed, options.number)),
      setting_(SettingOf(random_, options.roomy)),
      secret_{.k0 = random_.Next(), .k1 = random_.Next()},
      generator_(random_, setting_),
      traffic_(random_, 200),
      clock_(ClockOf(random_, setting_)) {}

std::optional<std::string> Episode::Run() {
  try {
    Begin();
    for (step_ = 1; step_ <= options_.steps; ++step_) Step();
    CheckReport();
    CountReport();
  } catch (const Failure& failure) {
    return Explain(failure.what());
  }
  return std::nullopt;
}

// What has no room for a key is given more; what the compiler refuses for another reason is
// generated anew.
std::shared_ptr<const policy::Policy> Episode::Compile(PolicySpec& spec, bool edit) {
  const PolicySpec before = spec;
  std::vector<std::string> mistakes;
  for (unsigned tries = 0; tries < 100; ++tries) {
    spec = edit ? generator_.Edited(before) : generator_.Policy();
    for (unsigned doublings = 0; doublings < 12; ++doublings) {
      auto policy = config::ParsePolicy(spec.ToYaml());
      if (policy && (!edit || KeepsSketches(**policy))) return std::move(*policy);
      if (!policy) mistakes.push_back(policy.error().front().what);
      for (RuleSpec& rule : spec.rules) rule.memory *= 2;
    }
  }
  throw Failure("no policy is taken: " + mistakes.back() + "\n" + spec.ToYaml());
}

// Whoever takes a rule's sketch away wants its offenders forgotten.
bool Episode::KeepsSketches(const policy::Policy& next) const {
  for (const policy::Rule& old : probe_->rules().policy().rules()) {
    if (policy::PlanMemory(old).sketch == 0) continue;
    for (const policy::Rule& rule : next.rules()) {
      if (rule.name() == old.name() && rule.mode() != policy::Mode::kOff &&
          rule.rates().slot_bytes > 0 && policy::PlanMemory(rule).sketch == 0) {
        return false;
      }
    }
  }
  return true;
}

void Episode::Begin() {
  PolicySpec spec;
  auto policy = Compile(spec, false);
  policy_ = std::make_shared<const LaidPolicy>(std::move(spec));
  auto engine = engine::Engine::Create(std::move(policy), secret_);
  if (!engine) throw Failure(engine.error());
  engine_ = std::move(*engine);
  probe_ = std::make_unique<Probe>(*engine_, secret_);
  oracle_ = std::make_unique<Oracle>(policy_, *probe_, setting_.roomy);
}

void Episode::Step() {
  Pass();
  const std::uint64_t kind = random_.Below(1000);
  if (kind < 8) {
    Reload();
  } else if (kind < 9) {
    Crash();
  } else if (kind < 14) {
    CheckReport();
  } else if (kind < 80) {
    GiveBack();
  } else if (kind < 110 && !setting_.roomy) {
    Flood();
  } else if (kind < 115 && setting_.roomy) {
    const auto by_ns = static_cast<std::int64_t>(random_.Magnitude(3 * kDayNs));
    clock_.SetWall(random_.Percent(50) ? by_ns : -by_ns);
    Note("the wall clock is set");
  } else {
    Request();
  }
}

// Mostly to where something was said to happen, or a nanosecond before it.
void Episode::Pass() {
  const std::uint64_t now_ns = clock_.now().engine_ns;
  std::erase_if(instants_, [now_ns](std::uint64_t at_ns) { return at_ns <= now_ns; });
  const std::uint64_t kind = random_.Below(100);
  if (kind < 50) {
    // Not at all: a burst.
  } else if (kind < 60) {
    clock_.Advance(1);
  } else if (kind < 85 && !instants_.empty()) {
    const std::uint64_t at_ns =
        random_.Percent(60) ? std::ranges::min(instants_) : random_.OneOf(instants_);
    clock_.Advance(at_ns - now_ns);
  } else if (kind < 97) {
    clock_.Advance(random_.Magnitude(setting_.longest_ns / 20 + 1));
  } else {
    clock_.Advance(random_.Magnitude(2 * setting_.longest_ns));
  }
  clock_.Read(random_.Below(SimClock::kLoops));
}

void Episode::Keep(const Ask& ask, const Forecast& forecast, const Decision& decision, Now now) {
  Record record{
      .step = step_, .now = now, .note = {}, .ask = ask, .decision = decision, .keys = {}};
  for (const auto* hits : {&forecast.enforced, &forecast.observed}) {
    for (const Hit& hit : *hits) {
      record.keys.push_back(hit.client_hash);
      for (const Asked& asked : hit.asked) record.keys.push_back(asked.spot.hash);
    }
  }
  records_.push_back(std::move(record));
  if (records_.size() > kMostRecords) records_.pop_front();
  const auto remember = [&](std::uint64_t after_ns) {
    if (after_ns == 0 || after_ns > kHorizonNs) return;
    const std::uint64_t at_ns = now.engine_ns + after_ns;
    for (const std::uint64_t one : {at_ns - 1, at_ns}) {
      if (instants_.size() < kMostInstants) {
        instants_.push_back(one);
      } else {
        random_.OneOf(instants_) = one;
      }
    }
  };
  remember(decision.retry_after_ns);
  if (random_.Percent(20)) remember(decision.hold_ns);
  if (random_.Percent(5)) remember(decision.reset_after_ns);
}

// The one place where the engine is asked.
std::optional<Decision> Episode::Decide(const Ask& ask, Now now) {
  auto forecast = oracle_->Foresee(ask, now);
  if (!forecast) {
    ++tally_.skipped;
    return std::nullopt;
  }
  engine::Receipt receipt;
  const auto decision = engine_->Decide(probe_->rules(), ask.ToRequest(), now, &receipt);
  if (!decision) throw Failure("no decision, though nothing was reloaded");
  ++tally_.decisions;
  if (decision->verdict == Verdict::kLimited) ++tally_.denied;
  if (decision->verdict == Verdict::kBanned) ++tally_.banned;
  Keep(ask, *forecast, *decision, now);
  for (Charge& charge : oracle_->Settle(ask, *forecast, *decision, receipt, now)) {
    if (charges_.size() < kMostCharges) {
      charges_.push_back(std::move(charge));
    } else {
      random_.OneOf(charges_) = std::move(charge);  // The other one crashed.
    }
  }
  return decision;
}

void Episode::Request() {
  const Ask ask = traffic_.Next();
  const Now now = clock_.reading(random_.Below(SimClock::kLoops));
  if (random_.Percent(5)) return DeniedChangesNothing(ask, now);
  const auto decision = Decide(ask, now);
  if (decision && decision->verdict == Verdict::kLimited && random_.Percent(10)) {
    WaitIsExact(ask, *decision);
  }
}

// A peek before and one after a denial say the same, unless it began a ban.
void Episode::DeniedChangesNothing(const Ask& ask, Now now) {
  Ask peek = ask;
  peek.cost = 0;
  const auto before = Decide(peek, now);
  const auto decision = Decide(ask, now);
  const auto after = Decide(peek, now);
  if (!before || !decision || !after || decision->verdict != Verdict::kLimited) return;
  if (after->verdict == Verdict::kBanned) return;
  const auto numbers = [](const Decision& one) {
    return std::array{one.remaining,           one.hold_ns,
                      one.reset_after_ns,      one.quota,
                      std::uint64_t{one.rule}, std::uint64_t{one.limit}};
  };
  if (numbers(*before) != numbers(*after)) throw Failure("a denial changed what a peek tells");
}

// After exactly the wait that a denial told the same request fits, and a nanosecond before it does
// not. Which limits it meets must not depend on what others do, nor on violations.
void Episode::WaitIsExact(const Ask& ask, const Decision& denied) {
  if (denied.retry_after_ns > kHorizonNs || !setting_.roomy) return;
  for (const LaidRule& rule : policy_->rules()) {
    const bool others = rule.spec->penalty || rule.spec->new_keys;
    if (rule.on() && others && rule.Matches(ask)) return;
  }
  // By the reading that it was told from, unless the wall clock was set since.
  const Now told = records_.back().now;
  const Now now = clock_.now();
  const std::uint64_t since_ns = now.engine_ns - told.engine_ns;
  if (now.unix_ns - told.unix_ns != static_cast<std::int64_t>(since_ns)) return;
  if (denied.retry_after_ns <= since_ns + 1) return;
  clock_.Advance(denied.retry_after_ns - since_ns - 1);
  clock_.ReadAll();
  if (const auto early = Decide(ask, clock_.now()); early && early->allowed()) {
    throw Failure("a nanosecond before the wait was over it fitted");
  }
  clock_.Advance(1);
  clock_.ReadAll();
  if (const auto then = Decide(ask, clock_.now()); then && !then->allowed()) {
    throw Failure("when the wait was over it did not fit");
  }
}

// Fresh clients, each up to its limit or just once.
void Episode::Flood() {
  const std::uint64_t clients = random_.Magnitude(400);
  const bool to_the_limit = random_.Percent(40);
  const std::uint64_t pause_ns =
      random_.Percent(50) ? 0 : random_.Magnitude(setting_.longest_ns / 1000 + 1);
  for (std::uint64_t i = 0; i < clients; ++i) {
    const Ask ask = traffic_.Fresh();
    clock_.Advance(pause_ns);
    clock_.Read(0);
    const Now now = clock_.reading(0);
    for (unsigned times = 0; times < 50; ++times) {
      const auto decision = Decide(ask, now);
      if (!to_the_limit || !decision || !decision->allowed()) break;
    }
  }
  // What was evicted is to be kept through a reload.
  if (random_.Percent(25)) Reload();
}

void Episode::GiveBack() {
  if (charges_.empty()) return;
  // Mostly one of the last, as most requests are soon over.
  const std::uint64_t most = random_.Percent(70) ? 12 : charges_.size();
  const std::size_t i = charges_.size() - 1 - random_.Below(std::min(most, charges_.size()));
  const Charge charge = std::move(charges_[i]);
  charges_.erase(charges_.begin() + static_cast<std::ptrdiff_t>(i));
  const Now now = clock_.reading(random_.Below(SimClock::kLoops));
  if (!oracle_->IsDefined(charge)) return;
  Record record{.step = step_,
                .now = now,
                .note = "given back: " + std::to_string(charge.stamp.cost) + " of " +
                        std::to_string(charge.stamp.when.engine_ns) + " to " + charge.key,
                .ask = {},
                .decision = {},
                .keys = {charge.spot.hash}};
  records_.push_back(std::move(record));
  engine_->GiveBack(probe_->rules(), charge.stamp, now);
  oracle_->GiveBack(charge, now);
  ++tally_.give_backs;
}

void Episode::Reload() {
  CheckReport();
  const Now now = random_.Percent(50) ? clock_.oldest() : clock_.now();
  PolicySpec spec = policy_->spec();
  auto policy = Compile(spec, true);
  oracle_->books().Advance(clock_.now());
  oracle_->books().Advance(now);
  oracle_->BeforeReload(now);
  const auto before = probe_->shared_rules();
  Note("reload");
  const auto afresh = engine_->Publish(std::move(policy), now);
  if (!afresh) throw Failure(afresh.error());
  policy_ = std::make_shared<const LaidPolicy>(std::move(spec));
  oracle_->AfterReload(policy_, *afresh, now);
  AskMovedTables(before, now);
  ++tally_.reloads;
}

// A loop that has not taken the new ruleset yet is told to, and charges nothing. Not where it would
// count something before it knows: exemptions, networks, bans.
void Episode::AskMovedTables(const std::shared_ptr<const engine::Ruleset>& before, Now now) {
  if (!before->policy().enabled()) return;
  const Ask ask = traffic_.Next();
  const auto request = ask.ToRequest();
  bool moved = false;
  for (std::size_t i = 0; i < before->policy().rules().size(); ++i) {
    const policy::Rule& rule = before->policy().rules()[i];
    const auto& table = before->state(i).table;
    if (rule.mode() == policy::Mode::kOff || !rule.Matches(request)) continue;
    if (rule.Exempts(request) || rule.penalty() || rule.new_keys()) return;
    const bool asked = rule.mode() == policy::Mode::kEnforce && table != nullptr &&
                       !rule.rates().variants[rule.VariantOf(request)].empty();
    moved = moved || (asked && table->Lock(0).sealed());
  }
  if (moved && engine_->Decide(*before, request, now)) {
    throw Failure("a table that has moved decided");
  }
}

// The process dies and another one takes its place: everything begins with nothing, and what was
// charged by the first one is nobody's.
void Episode::Crash() {
  CheckReport();
  CountReport();
  auto engine = engine::Engine::Create(probe_->rules().shared_policy(), secret_);
  if (!engine) throw Failure(engine.error());
  Note("crash");
  oracle_.reset();
  probe_.reset();
  engine_ = std::move(*engine);
  probe_ = std::make_unique<Probe>(*engine_, secret_);
  oracle_ = std::make_unique<Oracle>(policy_, *probe_, setting_.roomy);
  for (const Charge& charge : charges_) {
    engine_->GiveBack(probe_->rules(), charge.stamp, clock_.now());
  }
  charges_.clear();
  ++tally_.crashes;
}

void Episode::CheckReport() {
  oracle_->CheckReport(engine_->Statistics(clock_.now()));
  if (!setting_.roomy) CheckRefusals();
}

// Of the newcomers at most 1 % are refused: five standard deviations of so many, and a few for the
// first ones.
void Episode::CheckRefusals() {
  for (const LaidRule& rule : policy_->rules()) {
    if (!rule.on()) continue;
    const RuleBooks& books = oracle_->books().Of(rule.spec->name);
    const auto newcomers = static_cast<double>(books.newcomers);
    const double most = 0.01 * newcomers + 5 * std::sqrt(0.01 * newcomers) + 5;
    if (static_cast<double>(books.refused) <= most) continue;
    throw Failure("rule " + rule.spec->name + " refused " + std::to_string(books.refused) + " of " +
                  std::to_string(books.newcomers) + " newcomers");
  }
}

void Episode::CountReport() {
  for (const engine::RuleReport& rule : engine_->Statistics(clock_.now()).rules) {
    tally_.evictions += rule.evictions;
    tally_.evictions_at_limit += rule.evictions_at_limit;
    tally_.forgotten += rule.forgotten;
    const RuleBooks& books = oracle_->books().Of(rule.rule);
    tally_.newcomers += books.newcomers;
    tally_.refused += books.refused;
  }
}

void Episode::Note(std::string text) {
  records_.push_back({.step = step_,
                      .now = clock_.now(),
                      .note = std::move(text),
                      .ask = {},
                      .decision = {},
                      .keys = {}});
}

std::string Episode::Explain(const std::string& what) const {
  std::string text = what + "\nat step " + std::to_string(step_) + " of episode " +
                     std::to_string(options_.number) + " (" + (options_.roomy ? "roomy" : "tight") +
                     ")\n";
  text += policy_ == nullptr ? "" : policy_->spec().ToYaml();
  if (records_.empty()) return text;
  const std::vector<std::uint64_t>& keys = records_.back().keys;
  std::vector<std::string> lines;
  for (auto record = records_.rbegin(); record != records_.rend() && lines.size() < kMostLines;
       ++record) {
    const bool shared = record->keys.empty() || std::ranges::any_of(record->keys, [&](auto key) {
                          return std::ranges::find(keys, key) != keys.end();
                        });
    if (!shared) continue;
    std::string line = std::to_string(record->step) + " at " +
                       std::to_string(record->now.engine_ns) + " wall " +
                       std::to_string(record->now.unix_ns) + ": ";
    line += record->note.empty() ? record->ask.ToText() + " -> " + ToText(record->decision)
                                 : record->note;
    lines.push_back(std::move(line));
  }
  std::ranges::reverse(lines);
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace sluicegate::sim
