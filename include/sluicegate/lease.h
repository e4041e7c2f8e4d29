// Lease: ends what a decision put in flight when the work is over, however that ends.
//
//     auto limiter = sluicegate::Limiter::Create({sluicegate::Limit::Concurrency(20)});
//     const sluicegate::Decision decision = limiter->Check("user:42");
//     if (!decision) return TooManyRequests();
//     const sluicegate::Lease lease(*limiter, decision);  // Until the end of this scope.
//
// Where it never dies (the program crashes, or forgets it) the limit's own lease ends it. Moves,
// and does not copy. Bound to one thread at a time. The limiter must outlive it, and may be moved
// meanwhile.
#pragma once

#include <utility>

#include "sluicegate/decision.h"
#include "sluicegate/limiter.h"

namespace sluicegate {

class Lease {
 public:
  /// Holds nothing.
  Lease() noexcept = default;
  /// Holds what `decision`, one of `limiter`, put in flight; nothing if it was denied.
  Lease(Limiter& limiter, const Decision& decision) noexcept
      : limiter_(limiter.impl_.get()), decision_(decision) {}
  Lease(Lease&& other) noexcept
      : limiter_(std::exchange(other.limiter_, nullptr)), decision_(other.decision_) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this == &other) return *this;
    End();
    limiter_ = std::exchange(other.limiter_, nullptr);
    decision_ = other.decision_;
    return *this;
  }
  ~Lease() { End(); }

  /// Lets go of it without ending it: for who gives the whole decision back (Limiter::GiveBack).
  void Dismiss() noexcept { limiter_ = nullptr; }
  /// Ends it before its time. A second time does nothing.
  void End() noexcept {
    if (limiter_ != nullptr) Limiter::Release(*std::exchange(limiter_, nullptr), decision_);
  }

 private:
  Limiter::Impl* limiter_ = nullptr;
  Decision decision_;
};

}  // namespace sluicegate
