#include "sluicegate/global_limiter.h"

#include <cstdlib>
#include <mutex>
#include <optional>
#include <utility>

namespace sluicegate {
namespace {

struct Holder {
  std::mutex mu;
  std::optional<Limiter> limiter;  // Guarded by mu until set; never changed after.
};

// Never destroyed, so that destructors of statics may still ask.
Holder& TheHolder() {
  static Holder* const holder = new Holder;
  return *holder;
}

std::expected<Limiter, std::string> MakeDefault() {
  return Limiter::Create({"60/minute", "1000/hour", "10000/day", Limit::Burst(10)});
}

Limiter& MadeOnce() {
  Holder& holder = TheHolder();
  const std::scoped_lock lock(holder.mu);
  if (!holder.limiter) {
    auto made = MakeDefault();
    if (!made) std::abort();  // Nothing safe could follow: no memory, and no answer to give.
    holder.limiter.emplace(std::move(*made));
  }
  return *holder.limiter;
}

}  // namespace

Limiter& GlobalLimiter() {
  static Limiter& limiter = MadeOnce();  // After the first use, no lock.
  return limiter;
}

std::expected<void, std::string> ConfigureGlobalLimiter(std::initializer_list<LimitLike> limits,
                                                        const LimiterOptions& options) {
  Holder& holder = TheHolder();
  const std::scoped_lock lock(holder.mu);
  if (holder.limiter) {
    return std::unexpected(
        "The global limiter is made already. Call ConfigureGlobalLimiter once, before anything "
        "uses GlobalLimiter.");
  }
  auto made = Limiter::Create(limits, options);
  if (!made) return std::unexpected(std::move(made.error()));
  holder.limiter.emplace(std::move(*made));
  return {};
}

}  // namespace sluicegate
