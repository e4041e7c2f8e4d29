#include "ledger.h"

#include <algorithm>

namespace sluicegate::sim {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kDayNs = 86'400 * kSecondNs;

std::int64_t FloorDivide(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

bool IsLeap(std::int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

std::int64_t DaysIn(std::int64_t year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[month] + (month == 1 && IsLeap(year) ? 1 : 0);
}

// The first day after `day` (since 1970) on which a month or a year begins: counted month by month.
std::int64_t NextMonth(std::int64_t day, bool year_too) {
  std::int64_t first = 0;
  for (std::int64_t year = 1970;; ++year) {
    for (int month = 0; month < 12; ++month) {
      if (first > day && (!year_too || month == 0)) return first;
      first += DaysIn(year, month);
    }
  }
}

}  // namespace

std::int64_t EndOfWindow(CalendarUnit unit, std::int64_t unix_ns) {
  const auto after = [unix_ns](std::int64_t length_ns, std::int64_t first_ns) {
    return (FloorDivide(unix_ns - first_ns, length_ns) + 1) * length_ns + first_ns;
  };
  switch (unit) {
    case CalendarUnit::kSecond:
      return after(kSecondNs, 0);
    case CalendarUnit::kMinute:
      return after(60 * kSecondNs, 0);
    case CalendarUnit::kHour:
      return after(3600 * kSecondNs, 0);
    case CalendarUnit::kDay:
      return after(kDayNs, 0);
    case CalendarUnit::kWeek:
      return after(7 * kDayNs, 4 * kDayNs);  // 1970 began on a Thursday.
    case CalendarUnit::kMonth:
    case CalendarUnit::kYear:
      break;
  }
  return NextMonth(FloorDivide(unix_ns, kDayNs), unit == CalendarUnit::kYear) * kDayNs;
}

// When the last instant of its slice has left the window; all count until the newest slice begins.
std::uint64_t Ledger::LeavesAt(std::uint64_t slice) const {
  const std::uint64_t out_ns = (slice + 1) * SliceNs() + spec_->window_ns - 1;
  return std::max(out_ns, newest_ * SliceNs());
}

bool Ledger::Counts(const Units& units, std::uint64_t at_ns) const {
  return units.units > 0 && SliceCounts(units.slice, at_ns);
}

std::uint64_t Ledger::UsedAt(std::uint64_t at_ns) const {
  std::uint64_t used = 0;
  for (const Units& units : charged_) used += Counts(units, at_ns) ? units.units : 0;
  return used;
}

std::uint64_t Ledger::Remaining(Now now) const {
  const auto left = [this](std::uint64_t used) {
    return used < spec_->quota ? spec_->quota - used : 0;
  };
  if (IsRing()) return left(UsedAt(now.engine_ns));
  if (spec_->algorithm == Algorithm::kFixedWindow) return left(IsOpen(now) ? used_ : 0);
  // A unit that is owed in part is not there.
  return left((Debt(now) + spec_->price_ns() - 1) / spec_->price_ns());
}

// The first of the instants at which something leaves and the cost fits.
std::uint64_t Ledger::RingRetry(std::uint64_t now_ns, std::uint64_t cost) const {
  std::vector<std::uint64_t> instants;
  for (const Units& units : charged_) instants.push_back(LeavesAt(units.slice));
  std::ranges::sort(instants);
  for (const std::uint64_t at_ns : instants) {
    if (at_ns > now_ns && UsedAt(at_ns) + cost <= spec_->quota) return at_ns - now_ns;
  }
  return 0;
}

std::uint64_t Ledger::RetryAfter(Now now, std::uint64_t cost) const {
  if (cost > spec_->quota) return Decision::kNever;
  if (cost <= Remaining(now)) return 0;
  if (IsRing()) return RingRetry(now.engine_ns, cost);
  if (spec_->algorithm == Algorithm::kFixedWindow) {
    return static_cast<std::uint64_t>(end_unix_ns_ - now.unix_ns);
  }
  return Debt(now) - (spec_->quota - cost) * spec_->price_ns();
}

std::uint64_t Ledger::Hold(Now now) const {
  if (IsRing()) {
    std::uint64_t first_ns = 0;
    for (const Units& units : charged_) {
      if (!Counts(units, now.engine_ns)) continue;
      const std::uint64_t left_ns = LeavesAt(units.slice) - now.engine_ns;
      first_ns = first_ns == 0 ? left_ns : std::min(first_ns, left_ns);
    }
    return first_ns;
  }
  if (spec_->algorithm == Algorithm::kFixedWindow) return Reset(now);
  // One more unit is there once the debt leaves room for it.
  return Debt(now) == 0 ? 0 : RetryAfter(now, Remaining(now) + 1);
}

std::uint64_t Ledger::Reset(Now now) const {
  if (IsRing()) {
    std::uint64_t last_ns = 0;
    for (const Units& units : charged_) {
      if (Counts(units, now.engine_ns)) {
        last_ns = std::max(last_ns, LeavesAt(units.slice) - now.engine_ns);
      }
    }
    return last_ns;
  }
  if (spec_->algorithm == Algorithm::kFixedWindow) {
    const bool used = IsOpen(now) && used_ > 0;
    return used ? static_cast<std::uint64_t>(end_unix_ns_ - now.unix_ns) : 0;
  }
  return Debt(now);
}

Probe::Numbers Ledger::NumbersAt(Now now) const {
  Probe::Numbers numbers{.remaining = Remaining(now), .hold_ns = Hold(now), .reset_ns = Reset(now)};
  const auto costs = Probe::CostsOf(spec_->quota);
  for (std::size_t i = 0; i < costs.size(); ++i) numbers.retry_ns[i] = RetryAfter(now, costs[i]);
  return numbers;
}

void Ledger::ChargeRing(std::uint64_t now_ns, std::uint64_t cost) {
  const std::uint64_t own = now_ns / SliceNs();
  newest_ = charged_.empty() ? own : std::max(newest_, own);
  // The ring has 16 slices.
  std::erase_if(charged_, [this](const Units& units) { return units.slice + 16 <= newest_; });
  if (charged_.empty() || charged_.back().slice != newest_) charged_.push_back({newest_, 0});
  charged_.back().units += cost;
}

void Ledger::Charge(Now now, std::uint64_t cost) {
  if (IsRing()) {
    ChargeRing(now.engine_ns, cost);
  } else if (spec_->algorithm == Algorithm::kTokenBucket) {
    full_at_ns_ = std::max(full_at_ns_, now.engine_ns) + cost * spec_->price_ns();
  } else {
    if (!IsOpen(now)) {
      opened_ = true;
      end_unix_ns_ = EndOfWindow(spec_->unit, now.unix_ns);
      used_ = 0;
    }
    used_ += cost;
  }
}

// A unit is taken off the slice that its reading points to. A charge behind the newest slice went
// there, so of a lease, which must end, what is missing is taken off the slices behind.
void Ledger::GiveBackToRing(std::uint64_t now_ns, std::uint64_t slice, std::uint64_t cost) {
  if (charged_.empty() || slice + 16 <= newest_ || !SliceCounts(slice, now_ns)) return;
  for (Units& units : charged_) {
    if (units.slice < slice || (units.slice > slice && !spec_->is_lease())) continue;
    const std::uint64_t taken = std::min(units.units, cost);
    units.units -= taken;
    cost -= taken;
  }
}

void Ledger::GiveBack(Now now, Now charged, std::uint64_t cost) {
  if (IsRing()) {
    GiveBackToRing(now.engine_ns, charged.engine_ns / SliceNs(), cost);
  } else if (spec_->algorithm == Algorithm::kTokenBucket) {
    // What is left of the charge if the bucket was full when it was made.
    const std::uint64_t price_ns = cost * spec_->price_ns();
    const std::uint64_t paid_at_ns = charged.engine_ns + price_ns;
    const std::uint64_t left_ns = paid_at_ns > now.engine_ns ? paid_at_ns - now.engine_ns : 0;
    full_at_ns_ -= std::min({left_ns, price_ns, Debt(now)});
  } else if (IsOpen(now) && EndOfWindow(spec_->unit, charged.unix_ns) == end_unix_ns_) {
    used_ -= std::min(used_, cost);
  }
}

Ledger Ledger::ContinuedAs(const LimitSpec& next, Now now, bool moved) const {
  Ledger result = *this;
  result.spec_ = &next;
  if (IsRing() && next.window_ns != spec_->window_ns) {
    // Leases of another length: charged again, at the last instant that each may be from.
    result = Ledger(next);
    for (const Units& units : charged_) {
      if (!Counts(units, now.engine_ns)) continue;
      const std::uint64_t first_ns = units.slice * SliceNs();
      const std::uint64_t last_ns = first_ns + SliceNs() - 1;
      result.ChargeRing(std::max(first_ns, std::min(last_ns, now.engine_ns)), units.units);
    }
  }
  if (spec_->algorithm != Algorithm::kTokenBucket || !moved) return result;
  // As many units owed as before, a part of one as that part.
  using Wide = unsigned __int128;
  const Wide owed = Wide{Debt(now)} * next.price_ns();
  const Wide full_at = now.engine_ns + (owed + spec_->price_ns() - 1) / spec_->price_ns();
  constexpr std::uint64_t kEnd = ~std::uint64_t{0};
  result.full_at_ns_ = owed == 0 ? 0 : static_cast<std::uint64_t>(std::min<Wide>(full_at, kEnd));
  return result;
}

Ledger Ledger::BlockedAs(const LimitSpec& next, Now now) const {
  Ledger result = ContinuedAs(next, now, true);
  if (next.algorithm != Algorithm::kTokenBucket) return result;
  const std::uint64_t full_ns = now.engine_ns + next.quota * next.price_ns();
  result.full_at_ns_ = std::min(result.full_at_ns_, std::max(full_at_ns_, full_ns));
  return result;
}

}  // namespace sluicegate::sim
