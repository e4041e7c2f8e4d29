// RateLimited: wraps a callable so that each call asks a limiter first.
//
//     auto fetch = sluicegate::RateLimited(
//         FetchPage, sluicegate::RateLimitedOptions{
//                        .limiter = &limiter, .key = [](const std::string& user) { return user;
//                        }});
//     auto page = fetch("ada");                       // std::expected<Page, sluicegate::Denied>
//     if (!page) std::puts(page.error().message().c_str());
//
// Anything that std::invoke calls can be wrapped: functions, lambdas, members (the object comes
// first). The wrapper owns copies of the callable and of the options, and not the limiter. It is as
// thread-safe as the callable and the key function are; copies of a wrapper share its quota.
#pragma once

#include <concepts>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sluicegate/global_limiter.h"
#include "sluicegate/lease.h"
#include "sluicegate/limiter.h"

namespace sluicegate {

/// Why a call was not made. A value type.
struct Denied {
  Decision decision;
  Limit limit;  ///< The one that binds, with its name; of a ban none.

  /// "Rate limit exceeded: 10 per minute. Retry after 7 seconds." Of `what`, where it is not empty:
  /// "Rate limit exceeded for tool search: ...".
  [[nodiscard]] std::string message(std::string_view what = {}) const;
};

/// The default key function: all calls of the wrapper share one quota.
struct OneForAll {
  template <class... Args>
  std::string_view operator()(const Args&...) const noexcept {
    return {};
  }
};

/// How a wrapper asks. Both functions see the call's arguments as const references, before the
/// callable does.
template <class Key = OneForAll, class Cost = std::uint64_t>
struct RateLimitedOptions {
  Limiter* limiter = nullptr;  ///< Null: GlobalLimiter(). Must outlive the wrapper.
  /// Keys under one name are counted together, whichever wrapper asks; empty: a name of the
  /// wrapper's own.
  std::string name = {};
  Key key = {};   ///< arguments -> something a std::string_view can be made of, or an integer.
  Cost cost = 1;  ///< Units a call, or a function: arguments -> units.
};

namespace internal {

/// A name that no other wrapper of the program has.
[[nodiscard]] std::string UniqueName();
/// What the limiter is asked with: no two pairs make the same text.
[[nodiscard]] std::string JoinKey(std::string_view name, std::string_view key);
[[nodiscard]] Denied MakeDenied(const Limiter& limiter, const Decision& decision);

/// What a call's result is kept as: a T& as std::reference_wrapper<T>, all else as a value.
template <class T>
using Kept =
    std::conditional_t<std::is_lvalue_reference_v<T>,
                       std::reference_wrapper<std::remove_reference_t<T>>, std::remove_cvref_t<T>>;

}  // namespace internal

/// What RateLimited returns.
template <class Fn, class Key, class Cost>
class RateLimitedCall {
 public:
  RateLimitedCall(Fn fn, RateLimitedOptions<Key, Cost> options)
      : fn_(std::move(fn)), options_(std::move(options)) {
    if (options_.name.empty()) options_.name = internal::UniqueName();
  }

  /// Asks the limiter; calls if it allows. The result is what the callable returned: a reference
  /// as std::reference_wrapper, nothing as std::expected<void, Denied>, a coroutine's awaitable as
  /// it is (the decision was made at the call; awaiting asks nobody). Exceptions of the callable
  /// and of the key function pass through; a callable that threw was called, so its charge stays.
  /// What the call has in flight (a limit {concurrency}) ends when the callable returns; of a
  /// coroutine that is where it is suspended first, so hold a Lease within it instead.
  template <class... Args>
    requires std::invocable<Fn&, Args...>
  auto operator()(Args&&... args) {
    return Call(fn_, options_, std::forward<Args>(args)...);
  }
  template <class... Args>
    requires std::invocable<const Fn&, Args...>
  auto operator()(Args&&... args) const {
    return Call(fn_, options_, std::forward<Args>(args)...);
  }

 private:
  template <class F, class... Args>
  static auto Call(F& fn, const RateLimitedOptions<Key, Cost>& options, Args&&... args)
      -> std::expected<internal::Kept<std::invoke_result_t<F&, Args...>>, Denied> {
    Limiter& limiter = options.limiter == nullptr ? GlobalLimiter() : *options.limiter;
    const Decision decision = limiter.Check(KeyOf(options, std::as_const(args)...),
                                            CostOf(options, std::as_const(args)...));
    if (!decision) return std::unexpected(internal::MakeDenied(limiter, decision));
    const Lease lease(limiter, decision);
    if constexpr (std::is_void_v<std::invoke_result_t<F&, Args...>>) {
      std::invoke(fn, std::forward<Args>(args)...);
      return {};
    } else {
      return std::invoke(fn, std::forward<Args>(args)...);
    }
  }

  template <class... Args>
  static std::string KeyOf(const RateLimitedOptions<Key, Cost>& options, const Args&... args) {
    decltype(auto) key = std::invoke(options.key, args...);
    if constexpr (std::integral<std::remove_cvref_t<decltype(key)>>) {
      return internal::JoinKey(options.name, std::to_string(key));
    } else {
      return internal::JoinKey(options.name, std::string_view(key));
    }
  }

  template <class... Args>
  static std::uint64_t CostOf(const RateLimitedOptions<Key, Cost>& options, const Args&... args) {
    if constexpr (std::invocable<const Cost&, const Args&...>) {
      return static_cast<std::uint64_t>(std::invoke(options.cost, args...));
    } else {
      return static_cast<std::uint64_t>(options.cost);
    }
  }

  Fn fn_;
  RateLimitedOptions<Key, Cost> options_;
};

/// Wraps `fn`. A wrapped coroutine that uses its captures must not outlive the wrapper, as always.
template <class Fn, class Key = OneForAll, class Cost = std::uint64_t>
[[nodiscard]] auto RateLimited(Fn&& fn, RateLimitedOptions<Key, Cost> options = {}) {
  return RateLimitedCall<std::decay_t<Fn>, Key, Cost>(std::forward<Fn>(fn), std::move(options));
}

}  // namespace sluicegate
