// Oracle: what the limits that are asked say.
#include <algorithm>

#include "oracle.h"

namespace sluicegate::sim {
namespace {

std::uint64_t RemainingOf(const Asked& asked, std::size_t line, Now now) {
  if (asked.book == nullptr) return (*asked.lines)[line].spec.quota;
  return asked.book->ledgers[line].Remaining(now);
}

std::uint64_t RetryOf(const Asked& asked, std::size_t line, Now now) {
  if (asked.cost > (*asked.lines)[line].spec.quota) return Decision::kNever;
  return asked.book == nullptr ? 0 : asked.book->ledgers[line].RetryAfter(now, asked.cost);
}

// Of a limit as it is once the cost is charged (a denial's: as it is).
Told Tell(const Asked& asked, std::size_t line, std::uint64_t charged, std::uint64_t remaining,
          Now now) {
  Told told{.rule = asked.spot.rule,
            .variant = asked.variant,
            .limit = (*asked.lines)[line].index,
            .shared_bits = asked.shared_bits,
            .quota = (*asked.lines)[line].spec.quota,
            .remaining = remaining};
  if (asked.blocked_ns > 0) {
    told.hold_ns = told.reset_ns = asked.blocked_ns;
    told.remaining = 0;
    return told;
  }
  Ledger ledger((*asked.lines)[line].spec);
  if (asked.book != nullptr) ledger = asked.book->ledgers[line];
  if (charged > 0) ledger.Charge(now, charged);
  told.hold_ns = ledger.Hold(now);
  told.reset_ns = ledger.Reset(now);
  return told;
}

template <class Visit>
void ForEachLine(const std::vector<Hit>& hits, const Visit& visit) {
  for (const Hit& hit : hits) {
    for (const Asked& asked : hit.asked) {
      for (std::size_t line = 0; line < asked.lines->size(); ++line) visit(asked, line);
    }
  }
}

// The limits whose wait is the longest. A key that is kept away may name any of its limits.
void TellOfDenial(Forecast& forecast, Now now) {
  ForEachLine(forecast.enforced, [&](const Asked& asked, std::size_t line) {
    if (asked.cost == 0) return;
    forecast.retry_ns = std::max({forecast.retry_ns, asked.blocked_ns, RetryOf(asked, line, now)});
  });
  ForEachLine(forecast.enforced, [&](const Asked& asked, std::size_t line) {
    if (asked.cost == 0) return;
    if (asked.blocked_ns > 0 && asked.blocked_ns == forecast.retry_ns) {
      forecast.told.insert(Tell(asked, line, 0, 0, now));
    }
    const std::uint64_t remaining = RemainingOf(asked, line, now);
    if (asked.cost > remaining && RetryOf(asked, line, now) == forecast.retry_ns) {
      forecast.told.insert(Tell(asked, line, 0, remaining, now));
    }
  });
}

// The limits with the fewest units left, and of these the ones that hold the longest. Requests in
// flight are told of only where there are no rates.
void TellOfRoom(Forecast& forecast, Now now) {
  bool rates = false;
  ForEachLine(forecast.enforced, [&](const Asked& asked, std::size_t line) {
    rates = rates || !(*asked.lines)[line].spec.is_lease();
  });
  const auto left_on = [&](const Asked& asked, std::size_t line) -> std::optional<std::uint64_t> {
    if (rates && (*asked.lines)[line].spec.is_lease()) return std::nullopt;
    return asked.blocked_ns > 0 ? 0 : RemainingOf(asked, line, now) - asked.cost;
  };
  std::uint64_t fewest = ~std::uint64_t{0};
  bool blocked = false;
  ForEachLine(forecast.enforced, [&](const Asked& asked, std::size_t line) {
    fewest = std::min(fewest, left_on(asked, line).value_or(fewest));
    blocked = blocked || asked.blocked_ns > 0;
  });
  ForEachLine(forecast.enforced, [&](const Asked& asked, std::size_t line) {
    if (left_on(asked, line) != fewest) return;
    forecast.told.insert(Tell(asked, line, asked.cost, fewest, now));
  });
  if (blocked || forecast.told.empty()) return;
  const auto longest = std::ranges::max(forecast.told, {}, &Told::hold_ns).hold_ns;
  std::erase_if(forecast.told, [&](const Told& told) { return told.hold_ns < longest; });
}

}  // namespace

bool MarkDenials(std::vector<Asked>& all, Now now) {
  bool denied = false;
  for (Asked& asked : all) {
    if (asked.cost > 0 && asked.blocked_ns > 0) denied = true;
    for (std::size_t line = 0; line < asked.lines->size(); ++line) {
      if (asked.cost <= RemainingOf(asked, line, now)) continue;
      asked.denied |= 1U << (*asked.lines)[line].index;
      denied = true;
    }
  }
  return denied;
}

void Oracle::Judge(Forecast& forecast, Now now) const {
  bool denied = false;
  for (Hit& hit : forecast.enforced) {
    if (MarkDenials(hit.asked, now)) denied = true;
  }
  if (denied) {
    forecast.verdict = Verdict::kLimited;
    TellOfDenial(forecast, now);
    return;
  }
  TellOfRoom(forecast, now);
  if (forecast.enforced.empty() && forecast.exempt) forecast.verdict = Verdict::kExempt;
}

// Until the ban is over and all limits have room.
void Oracle::JudgeBanned(Forecast& forecast, Now now) const {
  forecast.verdict = Verdict::kBanned;
  forecast.retry_ns = forecast.ban_left_ns;
  ForEachLine(forecast.enforced, [&](const Asked& asked, std::size_t line) {
    if (asked.cost == 0) return;
    forecast.retry_ns = std::max({forecast.retry_ns, asked.blocked_ns, RetryOf(asked, line, now)});
  });
}

}  // namespace sluicegate::sim
