#include "oracle.h"

#include <utility>

namespace sluicegate::sim {

Oracle::Oracle(std::shared_ptr<const LaidPolicy> policy, Probe& probe, bool roomy)
    : policy_(std::move(policy)), probe_(probe), books_(probe, roomy) {
  books_.Open(*policy_);
}

void Oracle::Match(const Ask& ask, Forecast& forecast) const {
  for (std::size_t i = 0; i < policy_->rules().size(); ++i) {
    const LaidRule& rule = Rule(i);
    if (!rule.on() || !rule.Matches(ask)) continue;
    if (rule.Exempts(ask)) {
      forecast.exempt = true;
      forecast.exempting.push_back(i);
      continue;
    }
    Hit hit;
    hit.rule = i;
    hit.variant = rule.VariantOf(ask);
    hit.cost = rule.CostOf(ask);
    hit.client_key = rule.ClientKey(ask);
    hit.client_hash = probe_.HashKeys(i, ask.ToRequest(), hit.variant).client;
    auto& hits = rule.spec->mode == ModeSpec::kEnforce ? forecast.enforced : forecast.observed;
    hits.push_back(std::move(hit));
  }
}

// The key of a table as the engine has it now.
bool Oracle::Look(Asked& asked, Now now) {
  const std::string& rule = NameOf(asked.spot.rule);
  if (!books_.IsAlone(rule, asked.spot, asked.key)) return false;
  const Probe::Seen seen = probe_.Look(asked.spot, now);
  asked.book = books_.Find(rule, asked.spot, asked.key, seen, now);
  asked.present = seen.present;
  asked.crowded = seen.crowded;
  asked.blocked_ns = seen.blocked_ns;
  return true;
}

Asked Oracle::AskedOf(const Hit& hit, Part part, const Lines& lines) const {
  Asked asked;
  asked.spot = {.rule = hit.rule, .part = part};
  asked.variant = hit.variant;
  asked.lines = &lines;
  asked.cost = hit.cost;
  return asked;
}

Asked Oracle::ParentOf(const Ask& ask, const Hit& hit, Part part, const Lines& lines) const {
  Asked parent = AskedOf(hit, part, lines);
  parent.key = Rule(hit.rule).ParentKey(ask, hit.variant);
  parent.spot.hash = probe_.HashParent(hit.rule, ask.ToRequest(), hit.variant);
  parent.shared = true;
  parent.shared_bits = Rule(hit.rule).ParentBits(ask);
  return parent;
}

// A network that was evicted at its limits has none left.
bool Oracle::IsOneTooMany(const Ask& ask, const Hit& hit, const Asked& own, bool& too_many,
                          Now now) {
  const LaidRule& rule = Rule(hit.rule);
  too_many = false;
  if (!rule.spec->new_keys || own.present || own.blocked_ns > 0) return true;
  const Lines& lines = rule.parents[hit.variant];
  Asked parent = ParentOf(ask, hit, Part::kParents, lines);
  if (!Look(parent, now)) return false;
  too_many =
      parent.book == nullptr ? parent.blocked_ns > 0 : parent.book->ledgers.back().AtLimit(now);
  return true;
}

bool Oracle::AskRates(const Ask& ask, Hit& hit, Now now) {
  const LaidRule& rule = Rule(hit.rule);
  const Lines& lines = rule.rates[hit.variant];
  if (lines.empty()) return true;
  Asked own = AskedOf(hit, Part::kRates, lines);
  own.key = rule.LimitsKey(ask, hit.variant);
  own.spot.hash = probe_.HashKeys(hit.rule, ask.ToRequest(), hit.variant).limits;
  if (!Look(own, now)) return false;
  hit.own_key = own.key;
  hit.own_present = own.present;
  hit.own_blocked_ns = own.blocked_ns;
  if (!IsOneTooMany(ask, hit, own, hit.one_key_too_many, now)) return false;
  if (!hit.one_key_too_many) hit.asked.push_back(std::move(own));
  if (hit.one_key_too_many || hit.no_ban_place) {
    Asked parent = ParentOf(ask, hit, Part::kParents, lines);
    if (!Look(parent, now)) return false;
    hit.asked.push_back(std::move(parent));
  }
  return AskCeilings(ask, hit, now);
}

bool Oracle::AskCeilings(const Ask& ask, Hit& hit, Now now) {
  if (ask.client.is_v4()) return true;
  const LaidRule& rule = Rule(hit.rule);
  for (const auto& [bits, layout] : rule.ceilings) {
    Asked network = AskedOf(hit, Part::kCeiling, layout[hit.variant]);
    network.key = rule.CeilingKey(ask, hit.variant, bits);
    network.spot.bits = bits;
    network.spot.hash = probe_.HashCeiling(hit.rule, ask.ToRequest(), hit.variant, bits);
    network.shared = true;
    network.shared_bits = bits;
    if (!Look(network, now)) return false;
    hit.asked.push_back(std::move(network));
  }
  return true;
}

// A lease without a place is taken on the network, and at last on the one key of all.
bool Oracle::AskLeases(const Ask& ask, Hit& hit, bool banned, Now now) {
  const LaidRule& rule = Rule(hit.rule);
  const Lines& lines = rule.leases[hit.variant];
  if (lines.empty()) return true;
  Asked lease = AskedOf(hit, Part::kLeases, lines);
  lease.key = rule.LimitsKey(ask, hit.variant);
  lease.spot.hash = probe_.HashKeys(hit.rule, ask.ToRequest(), hit.variant).limits;
  if (!Look(lease, now)) return false;
  if (!banned && hit.cost > 0 && lease.crowded) {
    hit.stands_in = true;
    lease = ParentOf(ask, hit, Part::kLeases, lines);
    if (!Look(lease, now)) return false;
    if (lease.crowded) {
      std::size_t first = 0;
      while (rule.leases[first].empty()) ++first;
      lease = AskedOf(hit, Part::kOverflow, rule.leases[first]);
      lease.key = "|overflow" + rule.VariantName(first);
      lease.shared_bits = Decision::kSharedByAll;
      if (first > 0) lease.spot.hash = probe_.Rule(hit.rule).OverrideHash(first - 1);
      lease.variant = first;
      lease.shared = true;
      if (!Look(lease, now)) return false;
    }
  }
  hit.asked.push_back(std::move(lease));
  return true;
}

bool Oracle::AskAll(const Ask& ask, Hit& hit, bool banned, Now now) {
  return AskRates(ask, hit, now) && AskLeases(ask, hit, banned, now);
}

// Bans never vanish and never come from elsewhere than the client's own violations.
void Oracle::FindBans(Forecast& forecast, Now now) {
  for (Hit& hit : forecast.enforced) {
    const LaidRule& rule = Rule(hit.rule);
    if (!rule.spec->penalty) continue;
    Record& record = BooksOf(hit.rule).offenders[hit.client_key];
    record.hash = hit.client_hash;
    const Probe::BanSeen seen = probe_.LookAtBan(hit.rule, hit.client_hash, now);
    std::uint64_t left_ns = record.offender.BanLeft(now.engine_ns);
    // Over by another loop's reading, so its place may be another's.
    const bool is_over = record.offender.BanLeft(books_.newest().engine_ns) == 0;
    if (seen.left_ns == 0 && is_over) left_ns = 0;
    if (seen.left_ns != left_ns) {
      throw Failure("the ban of " + hit.client_key + " under rule " + NameOf(hit.rule) + " has " +
                    std::to_string(seen.left_ns) + " ns left and should have " +
                    std::to_string(left_ns));
    }
    hit.no_ban_place = seen.no_place && rule.has_parents();
    if (left_ns == 0 || left_ns < forecast.ban_left_ns) continue;
    if (left_ns > forecast.ban_left_ns) forecast.banning.clear();
    forecast.ban_left_ns = left_ns;
    forecast.banning.insert(hit.rule);
  }
}

std::optional<Forecast> Oracle::Foresee(const Ask& ask, Now now) {
  Forecast forecast;
  books_.Advance(now);
  forecast.counts = policy_->spec().enabled;
  if (!forecast.counts) return forecast;
  Match(ask, forecast);
  FindBans(forecast, now);
  const bool banned = forecast.ban_left_ns > 0;
  for (Hit& hit : forecast.enforced) {
    if (!AskAll(ask, hit, banned, now)) return std::nullopt;
  }
  for (Hit& hit : forecast.observed) {
    if (!AskAll(ask, hit, false, now)) return std::nullopt;
  }
  if (banned) {
    JudgeBanned(forecast, now);
  } else {
    Judge(forecast, now);
  }
  return forecast;
}

}  // namespace sluicegate::sim
