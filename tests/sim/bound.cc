#include "bound.h"

#include <algorithm>

#include "ledger.h"

namespace sluicegate::sim {
namespace {

using Wide = unsigned __int128;

}  // namespace

bool Bound::Admit(Now now, std::uint64_t cost, std::uint64_t id, std::uint64_t newest_ns) {
  latest_ns_ = std::max(latest_ns_, now.engine_ns);
  lag_ns_ = std::max(lag_ns_, newest_ns - now.engine_ns);
  Admission admission{.at_ns = now.engine_ns, .amount = cost, .id = id};
  switch (spec_->algorithm) {
    case Algorithm::kSlidingWindow:
      Forget();
      admissions_.push_back(admission);
      return SlidingHolds(now.engine_ns);
    case Algorithm::kTokenBucket:
      if (BucketLevel(now.engine_ns) == 0) {
        admissions_.clear();
        forgiven_ = 0;
      }
      admission.amount *= spec_->window_ns;
      admissions_.push_back(admission);
      return BucketLevel(now.engine_ns) <= Wide{spec_->quota} * spec_->window_ns + forgiven_;
    case Algorithm::kFixedWindow:
      if (!opened_ || now.unix_ns >= open_until_) {
        admissions_.clear();
        opened_ = true;
        open_until_ = EndOfWindow(spec_->unit, now.unix_ns);
      }
      admission.window_end = open_until_;
      admissions_.push_back(admission);
      return WindowHolds(open_until_);
    case Algorithm::kConcurrency:
      break;
  }
  Forget();
  admissions_.push_back(admission);
  return LeasesHold(newest_ns);
}

void Bound::Remove(std::uint64_t id, Now now) {
  std::erase_if(admissions_, [id](const Admission& admission) { return admission.id == id; });
  if (spec_->algorithm == Algorithm::kTokenBucket && now.engine_ns < latest_ns_) {
    forgiven_ += Wide{latest_ns_ - now.engine_ns} * spec_->refill;
  }
}

// What no interval of the limit's length can hold together with a later admission.
void Bound::Forget() {
  while (!admissions_.empty() &&
         admissions_.front().at_ns + 2 * spec_->window_ns + lag_ns_ < latest_ns_) {
    admissions_.pop_front();
  }
}

// Every interval that ends with an admission and holds the one at `at_ns`. A reading that lies
// behind shortens the interval by as much: doc/algorithms.md, "Clock readings out of order".
bool Bound::SlidingHolds(std::uint64_t at_ns) const {
  if (lag_ns_ >= spec_->window_ns) return true;
  const std::uint64_t length_ns = spec_->window_ns - lag_ns_;
  const auto fits = [&](std::uint64_t end_ns) {
    Wide sum = 0;
    for (const Admission& one : admissions_) {
      const bool inside = one.at_ns <= end_ns && one.at_ns + length_ns > end_ns;
      sum += inside ? one.amount : 0;
    }
    return sum <= spec_->quota;
  };
  if (!fits(at_ns)) return false;
  return std::ranges::all_of(admissions_, [&](const Admission& one) {
    return one.at_ns <= at_ns || one.at_ns >= at_ns + length_ns || fits(one.at_ns);
  });
}

// The largest excess of what was admitted since any admission over what came back since then
// (Lindley's recursion), in units times the period. A reading that lies behind gives nothing back.
Wide Bound::BucketLevel(std::uint64_t at_ns) const {
  Wide level = 0;
  std::uint64_t latest_ns = 0;
  const auto flow = [&](std::uint64_t now_ns) {
    if (now_ns <= latest_ns) return;
    const Wide back = Wide{now_ns - latest_ns} * spec_->refill;
    level -= std::min(level, back);
    latest_ns = now_ns;
  };
  for (const Admission& one : admissions_) {
    flow(one.at_ns);
    level += one.amount;
  }
  flow(at_ns);
  return level;
}

bool Bound::LeasesHold(std::uint64_t newest_ns) const {
  Wide out = 0;
  for (const Admission& one : admissions_) {
    out += one.at_ns + spec_->window_ns > newest_ns ? one.amount : 0;
  }
  return out <= spec_->quota;
}

bool Bound::WindowHolds(std::int64_t end) const {
  Wide used = 0;
  for (const Admission& one : admissions_) used += one.window_end == end ? one.amount : 0;
  return used <= spec_->quota;
}

// Of a bucket the units that are owed go on being owed; which admission they came from is lost.
// Leases that are over stay over, however long the new ones are.
void Bound::ContinueAs(const LimitSpec& next, Now now) {
  const bool bucket = spec_->algorithm == Algorithm::kTokenBucket;
  // A full bucket is as good as none, also to a loop that lags.
  if (bucket && BucketLevel(now.engine_ns) == 0) admissions_.clear();
  // At most 2^62 ns of debt times 2^62 would not fit: a debt is whole units and a rest.
  const auto in_next = [&](Wide amount) {
    const Wide rest = amount % spec_->window_ns * next.window_ns / spec_->window_ns;
    return amount / spec_->window_ns * next.window_ns + rest;
  };
  if (bucket && spec_->price_ns() != next.price_ns()) {
    const Wide level = in_next(BucketLevel(now.engine_ns));
    admissions_ = {{.at_ns = now.engine_ns, .amount = level, .id = 0}};
  } else if (bucket) {
    for (Admission& one : admissions_) one.amount = in_next(one.amount);
  }
  if (bucket) forgiven_ = in_next(forgiven_);
  if (spec_->is_lease()) {
    const std::uint64_t newest_ns = std::max(now.engine_ns, latest_ns_);
    std::erase_if(admissions_,
                  [&](const Admission& one) { return one.at_ns + spec_->window_ns <= newest_ns; });
  }
  spec_ = &next;
}

}  // namespace sluicegate::sim
