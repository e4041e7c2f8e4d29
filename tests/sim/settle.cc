// Oracle: what comes of a decision, and whether the engine agrees.
#include <algorithm>
#include <utility>

#include "oracle.h"

namespace sluicegate::sim {
namespace {

std::string ToText(const Told& told) {
  return "rule " + std::to_string(told.rule) + " set " + std::to_string(told.variant) + " limit " +
         std::to_string(told.limit) + " /" + std::to_string(told.shared_bits) + " quota " +
         NumberText(told.quota) + " remaining " + NumberText(told.remaining) + " hold " +
         NumberText(told.hold_ns) + " reset " + NumberText(told.reset_ns);
}

// What the oracle asked, for a report.
std::string ToText(const Forecast& forecast) {
  std::string text;
  for (const Hit& hit : forecast.enforced) {
    text += "\n  rule " + std::to_string(hit.rule) + " for " + hit.client_key;
    if (hit.one_key_too_many) text += ", one new key too many";
    if (hit.no_ban_place) text += ", no place for its bans";
    for (const Asked& asked : hit.asked) {
      text += "\n    " + std::to_string(asked.cost) + " of " + asked.key;
      text += asked.present ? ", present" : ", absent";
      if (asked.blocked_ns > 0) text += ", blocked for " + NumberText(asked.blocked_ns);
      for (const Line& line : *asked.lines) {
        const bool denies = (asked.denied >> line.index & 1U) != 0;
        text += ", " + line.spec.name + (denies ? " denies" : " has room");
      }
    }
  }
  return text;
}

Told ToldBy(const Decision& decision) {
  return {.rule = decision.rule,
          .variant = decision.variant,
          .limit = decision.limit,
          .shared_bits = decision.shared_bits,
          .quota = decision.quota,
          .remaining = decision.remaining,
          .hold_ns = decision.hold_ns,
          .reset_ns = decision.reset_after_ns};
}

// The limits of the rule that binds which have no room. Of a key that is kept away the engine names
// one, whichever it was.
bool DenialsAgree(const Forecast& forecast, const Decision& decision) {
  unsigned certain = 0;
  unsigned possible = 0;
  for (const Hit& hit : forecast.enforced) {
    if (hit.rule != decision.rule) continue;
    for (const Asked& asked : hit.asked) {
      if (asked.variant != decision.variant || asked.shared_bits != decision.shared_bits) continue;
      certain |= asked.denied;
      if (asked.blocked_ns == 0 || asked.cost == 0) continue;
      for (const Line& line : *asked.lines) possible |= 1U << line.index;
    }
  }
  const unsigned got = decision.denied_limits;
  return got != 0 && (got & certain) == certain && (got & ~(certain | possible)) == 0;
}

[[noreturn]] void Disagree(const std::string& what, const std::string& got,
                           const std::string& want) {
  throw Failure(what + " is " + got + " and should be " + want);
}

}  // namespace

void Oracle::Compare(const Forecast& forecast, const Decision& decision) const {
  if (decision.verdict != forecast.verdict) {
    Disagree("the verdict", std::string(VerdictName(decision.verdict)),
             std::string(VerdictName(forecast.verdict)) + ToText(forecast));
  }
  if (decision.retry_after_ns != forecast.retry_ns) {
    Disagree("retry_after", NumberText(decision.retry_after_ns), NumberText(forecast.retry_ns));
  }
  if (forecast.verdict == Verdict::kBanned) {
    if (!forecast.banning.contains(decision.rule)) Disagree("the rule", "one", "one that bans");
    if (decision.hold_ns != forecast.ban_left_ns) {
      Disagree("what is left of the ban", NumberText(decision.hold_ns),
               NumberText(forecast.ban_left_ns));
    }
    return;
  }
  if (forecast.told.empty()) {
    if (decision.rule != Decision::kNone) Disagree("the rule", "one", "none");
    return;
  }
  if (!forecast.told.contains(ToldBy(decision))) {
    std::string want;
    for (const Told& told : forecast.told) want += (want.empty() ? "" : " or ") + ToText(told);
    Disagree("what binds", ToText(ToldBy(decision)), want);
  }
  if (forecast.verdict == Verdict::kLimited && !DenialsAgree(forecast, decision)) {
    Disagree("the set of limits without room", std::to_string(decision.denied_limits), "another");
  }
}

// The length of the ban that a violation begins, as the engine has it.
std::uint64_t Oracle::Violate(const Hit& hit, Now now) {
  const PenaltySpec& penalty = *Rule(hit.rule).spec->penalty;
  RuleBooks& books = BooksOf(hit.rule);
  const Probe::BanSeen seen = probe_.LookAtBan(hit.rule, hit.client_hash, now);
  const bool has_place = !seen.no_place;
  if (has_place) ++books.counts.violations;
  Offender& offender = books.offenders[hit.client_key].offender;
  // By the reading of another loop it may be over.
  const bool may_forget = probe_.rules().state(hit.rule).bans->evictions() > 0 ||
                          offender.IsClear(books_.newest().engine_ns);
  const std::uint64_t want_ns = has_place ? offender.Violate(penalty, now.engine_ns) : 0;
  const bool agrees = seen.left_ns == want_ns ||
                      (may_forget && want_ns > 0 && offender.MayEarn(penalty, seen.left_ns));
  if (!agrees) {
    Disagree("the ban of " + hit.client_key, NumberText(seen.left_ns), NumberText(want_ns));
  }
  if (seen.left_ns == 0) return 0;
  ++books.counts.bans;
  offender.BeginBan(penalty, now.engine_ns, seen.left_ns);
  return seen.left_ns;
}

std::uint64_t Oracle::Punish(Forecast& forecast, Now now) {
  std::uint64_t longest_ns = 0;
  for (Hit& hit : forecast.enforced) {
    bool denied = false;
    bool own = false;
    bool blocked = false;
    for (const Asked& asked : hit.asked) {
      const bool kept_away = asked.cost > 0 && asked.blocked_ns > 0;
      if (asked.denied == 0 && !kept_away) continue;
      denied = true;
      own = own || !asked.shared;
      blocked = blocked || kept_away;
    }
    if (!denied) continue;
    Counts& counts = BooksOf(hit.rule).counts;
    ++counts.limited;
    if (blocked) ++counts.blocked;
    if (own && Rule(hit.rule).spec->penalty) longest_ns = std::max(longest_ns, Violate(hit, now));
  }
  return longest_ns;
}

void Oracle::Charge1(Asked& asked, std::uint64_t cost, std::size_t first, std::size_t last,
                     Now now) {
  const std::string& rule = NameOf(asked.spot.rule);
  for (std::size_t i = first; i < last; ++i) {
    asked.book->ledgers[i].Charge(now, cost);
    if (asked.book->bounds[i].Admit(now, cost, admissions_, books_.newest().engine_ns)) continue;
    throw Failure("limit " + asked.book->ledgers[i].spec().name + " of rule " + rule +
                  " has admitted more to the key " + (asked.key.empty() ? "of all" : asked.key) +
                  " than it promises");
  }
}

void Oracle::CountNewKey(const Ask& ask, const Hit& hit, Now now) {
  const Lines& lines = Rule(hit.rule).parents[hit.variant];
  Asked parent = ParentOf(ask, hit, Part::kParents, lines);
  const Probe::Seen before = probe_.Look(parent.spot, now);
  if (!before.present) return;  // It was evicted at its limits and must stay away.
  parent.book = books_.Find(NameOf(hit.rule), parent.spot, parent.key, before, now);
  if (parent.book == nullptr) {
    parent.book = &books_.Make(NameOf(hit.rule), parent.spot, parent.key, hit.variant, lines);
  }
  Charge1(parent, 1, lines.size() - 1, lines.size(), now);
  CompareStates(parent.spot, parent.key, hit.variant, lines.size(), now);
}

// What every table of a rule is charged.
void Oracle::ChargeAll(const Ask& ask, Hit& hit, Now now) {
  const LaidRule& rule = Rule(hit.rule);
  for (Asked& asked : hit.asked) {
    if (asked.cost == 0) continue;
    if (asked.book == nullptr) {
      const bool parents = asked.spot.part == Part::kParents;
      const Lines& lines = parents ? rule.parents[asked.variant] : *asked.lines;
      asked.book = &books_.Make(NameOf(hit.rule), asked.spot, asked.key, asked.variant, lines);
    }
    Charge1(asked, asked.cost, 0, asked.lines->size(), now);
  }
  const bool entered = std::ranges::any_of(hit.asked, [](const Asked& asked) {
    return asked.spot.part == Part::kRates && asked.cost > 0 && !asked.present;
  });
  if (entered && rule.spec->new_keys) CountNewKey(ask, hit, now);
}

// Each request once for each reason.
void Oracle::CountNetworks(const Hit& hit) {
  if (hit.cost == 0) return;
  Counts& counts = BooksOf(hit.rule).counts;
  if (hit.one_key_too_many) {
    ++counts.network_for_key;
  } else if (hit.no_ban_place && !Rule(hit.rule).rates[hit.variant].empty()) {
    ++counts.network_for_ban;
  }
  if (hit.stands_in) ++counts.network_for_lease;
}

void Oracle::Observe(const Ask& ask, Hit& hit, Now now) {
  if (hit.cost == 0) return;
  Counts& counts = BooksOf(hit.rule).counts;
  CountNetworks(hit);
  ++counts.observed;
  hit.denied = MarkDenials(hit.asked, now);
  if (hit.denied) {
    ++counts.observed_denials;
  } else {
    ChargeAll(ask, hit, now);
  }
}

void Oracle::CompareStates(const Spot& spot, const std::string& key, std::size_t variant,
                           std::size_t lines, Now now) {
  const Probe::Seen seen = probe_.Look(spot, now);
  const Book* book = books_.Find(NameOf(spot.rule), spot, key, seen, now);
  if (book == nullptr) return;
  for (std::size_t i = 0; i < lines; ++i) {
    const Ledger& ledger = book->ledgers[i];
    const Probe::Numbers got = probe_.Read(spot, variant, i, now);
    const Probe::Numbers want = ledger.NumbersAt(now);
    if (got == want) continue;
    Disagree("limit " + ledger.spec().name + " of rule " + NameOf(spot.rule) + " for " + key,
             got.ToText(), want.ToText());
  }
}

// Whether the sketch refuses at most 1 % of the newcomers: the product of its rows' shares of live
// cells. It must, but for one that protects and for one that a reload filled.
bool Oracle::SketchIsInBounds(std::size_t rule) {
  RuleBooks& books = BooksOf(rule);
  const auto& sketch = probe_.rules().state(rule).sketch;
  if (sketch == nullptr) return true;
  const bool same = books.sketch == sketch.get();
  const std::uint64_t folded = sketch->counts().folded;
  if (same && books.in_bounds && books.folded == folded) return true;
  double share = 1;
  for (const std::uint64_t live : sketch->CountLive(books_.newest().engine_ns)) {
    share *= static_cast<double>(live) / static_cast<double>(sketch->cells_per_row());
  }
  const bool is_in_bounds = share <= 0.0100001;
  if (!is_in_bounds && same && books.in_bounds && !Rule(rule).spec->protect) {
    throw Failure("the sketch of rule " + NameOf(rule) + " refuses " + std::to_string(share));
  }
  books.sketch = sketch.get();
  books.folded = folded;
  books.in_bounds = is_in_bounds;
  return is_in_bounds;
}

// Newcomers of which nothing was ever heard, and those that the sketch takes for offenders.
void Oracle::CountNewcomers(const Hit& hit) {
  const bool counts = SketchIsInBounds(hit.rule);
  RuleBooks& books = BooksOf(hit.rule);
  if (hit.own_key.empty() || hit.cost == 0 || !books.heard.insert(hit.own_key).second) return;
  if (!counts || hit.own_present) return;
  ++books.newcomers;
  if (hit.own_blocked_ns > 0) ++books.refused;
}

std::vector<Charge> Oracle::Settle(const Ask& ask, Forecast& forecast, const Decision& decision,
                                   const engine::Receipt& receipt, Now now) {
  if (!forecast.counts) {
    Compare(forecast, decision);
    return {};
  }
  ++admissions_;
  for (const std::size_t rule : forecast.exempting) ++BooksOf(rule).counts.exempt;
  if (forecast.enforced.empty() && forecast.observed.empty() && !forecast.exempt) ++unmatched_;
  if (forecast.verdict != Verdict::kBanned) {
    for (const Hit& hit : forecast.enforced) CountNetworks(hit);
  }
  for (const Hit& hit : forecast.enforced) CountNewcomers(hit);
  for (const Hit& hit : forecast.observed) CountNewcomers(hit);
  if (forecast.verdict == Verdict::kLimited) {
    forecast.retry_ns = std::max(forecast.retry_ns, Punish(forecast, now));
  }
  Compare(forecast, decision);
  if (forecast.verdict == Verdict::kBanned) {
    const bool peek =
        std::ranges::all_of(forecast.enforced, [](const Hit& hit) { return hit.cost == 0; });
    if (!peek) ++BooksOf(decision.rule).counts.banned;
  }
  if (decision.allowed()) {
    for (Hit& hit : forecast.enforced) {
      ChargeAll(ask, hit, now);
      if (hit.cost > 0) ++BooksOf(hit.rule).counts.admitted;
    }
    for (Hit& hit : forecast.observed) Observe(ask, hit, now);
  }
  for (const auto* hits : {&forecast.enforced, &forecast.observed}) {
    for (const Hit& hit : *hits) {
      for (const Asked& asked : hit.asked) {
        CompareStates(asked.spot, asked.key, asked.variant, asked.lines->size(), now);
      }
    }
  }
  return decision.allowed() ? ReadReceipt(forecast, receipt) : std::vector<Charge>();
}

// A stamp for each table of the enforced rules, and one for each lease of the observed.
std::vector<Charge> Oracle::ReadReceipt(const Forecast& forecast, const engine::Receipt& receipt) {
  std::vector<const Asked*> charged;
  std::size_t size = 0;
  for (const Hit& hit : forecast.enforced) {
    size += hit.asked.size();
    for (const Asked& asked : hit.asked) charged.push_back(&asked);
  }
  for (const Hit& hit : forecast.observed) {
    for (const Asked& asked : hit.asked) {
      const bool lease = asked.spot.part == Part::kLeases || asked.spot.part == Part::kOverflow;
      // What had no room took none.
      if (!lease || asked.cost == 0 || asked.book == nullptr || hit.denied) continue;
      ++size;
      charged.push_back(&asked);
    }
  }
  if (receipt.size != size) {
    Disagree("the receipt's size", NumberText(receipt.size), NumberText(size));
  }
  std::vector<Charge> charges;
  for (const Asked* asked : charged) {
    if (asked->cost == 0) continue;
    const auto end = receipt.charges.begin() + static_cast<std::ptrdiff_t>(receipt.size);
    const auto stamp = std::find_if(receipt.charges.begin(), end, [&](const Stamp& one) {
      return one.table == probe_.TableOf(asked->spot).id() && one.hash == asked->spot.hash;
    });
    if (stamp == end || stamp->cost != asked->cost) throw Failure("the receipt lacks a charge");
    charges.push_back({.stamp = *stamp,
                       .rule = NameOf(asked->spot.rule),
                       .spot = asked->spot,
                       .key = asked->key,
                       .epoch = books_.ShelfOf(NameOf(asked->spot.rule), asked->spot).epoch,
                       .life = asked->book->life,
                       .admission = admissions_});
  }
  return charges;
}

bool Oracle::IsDefined(const Charge& charge) {
  if (policy_->Named(charge.rule) == nullptr) return true;
  RuleBooks& books = books_.Of(charge.rule);
  const auto shelf = books.shelves.find({charge.spot.part, charge.spot.bits});
  if (shelf == books.shelves.end() || shelf->second.epoch != charge.epoch) return true;
  const auto book = shelf->second.books.find(charge.key);
  if (book == shelf->second.books.end()) return true;
  // A generation has few bits: a key that left its place and came again may have that of before.
  return book->second.life == charge.life;
}

void Oracle::GiveBack(const Charge& charge, Now now) {
  books_.Advance(now);
  if (policy_->Named(charge.rule) == nullptr) return;
  RuleBooks& books = books_.Of(charge.rule);
  const auto shelf = books.shelves.find({charge.spot.part, charge.spot.bits});
  if (shelf == books.shelves.end() || shelf->second.epoch != charge.epoch) return;
  Spot spot = charge.spot;
  spot.rule = policy_->IndexOf(charge.rule);
  const Probe::Seen seen = probe_.Look(spot, now);
  Book* book = books_.Find(charge.rule, spot, charge.key, seen, now);
  if (book == nullptr || book->life != charge.life) return;
  const Now when = charge.stamp.when;
  if (when.engine_ns < shelf->second.stamps_from_ns) return;
  for (std::size_t i = 0; i < book->ledgers.size(); ++i) {
    // A network's new keys are none of a request's charges.
    if (spot.part == Part::kParents && i >= Rule(spot.rule).rates[book->variant].size()) continue;
    book->ledgers[i].GiveBack(now, when, charge.stamp.cost);
    book->bounds[i].Remove(charge.admission, now);
  }
  CompareStates(spot, charge.key, book->variant, book->ledgers.size(), now);
}

void Oracle::BeforeReload(Now now) {
  books_.Settle(*policy_, now);
  books_.NoteRefusals(*policy_);
}

void Oracle::AfterReload(std::shared_ptr<const LaidPolicy> policy,
                         const std::vector<std::string>& afresh, Now now) {
  const std::shared_ptr<const LaidPolicy> old = std::exchange(policy_, std::move(policy));
  const std::shared_ptr<const engine::Ruleset> rules = probe_.shared_rules();
  probe_.Refresh();
  const auto moved = [&](const std::string& rule, std::pair<Part, unsigned> place) {
    if (place.first == Part::kBans) {
      return rules->state(old->IndexOf(rule)).bans !=
             probe_.rules().state(policy_->IndexOf(rule)).bans;
    }
    return Probe::TableAt(*rules, old->IndexOf(rule), place.first, place.second) !=
           Probe::TableAt(probe_.rules(), policy_->IndexOf(rule), place.first, place.second);
  };
  const auto want = books_.Reload(*old, *policy_, moved, now);
  const std::set<std::string> got(afresh.begin(), afresh.end());
  bytes_.clear();
  for (const std::string& line : got) {
    // What a smaller memory has no place for is told as well; Books counts that.
    const bool lost = line.ends_with(" have no place in the smaller memory and are forgotten");
    if (!lost && !want.contains(line)) throw Failure("the reload says that " + line);
  }
  for (const std::string& line : want) {
    if (!got.contains(line)) throw Failure("the reload does not say that " + line);
  }
  books_.Settle(*policy_, now);
  came_back_ += books_.Reconcile(*policy_, now);
}

void Oracle::CheckReport(const engine::Report& report) {
  if (report.unmatched != unmatched_) {
    Disagree("unmatched", NumberText(report.unmatched), NumberText(unmatched_));
  }
  for (const engine::RuleReport& rule : report.rules) {
    const Counts& counts = books_.Of(rule.rule).counts;
    const auto check = [&rule](const char* what, std::uint64_t got, std::uint64_t want) {
      if (got != want) Disagree(rule.rule + "'s " + what, NumberText(got), NumberText(want));
    };
    check("admitted", rule.admitted, counts.admitted);
    check("limited", rule.limited, counts.limited);
    check("banned", rule.banned, counts.banned);
    check("exempt", rule.exempt, counts.exempt);
    check("observed", rule.observed, counts.observed);
    check("observed_denials", rule.observed_denials, counts.observed_denials);
    check("violations", rule.violations, counts.violations);
    check("bans", rule.bans, counts.bans);
    check("blocked", rule.blocked, counts.blocked);
    check("network_for_key", rule.network_for_key, counts.network_for_key);
    check("network_for_lease", rule.network_for_lease, counts.network_for_lease);
    check("network_for_ban", rule.network_for_ban, counts.network_for_ban);
    check("bytes", rule.bytes, bytes_.emplace(rule.rule, rule.bytes).first->second);
  }
}

}  // namespace sluicegate::sim
