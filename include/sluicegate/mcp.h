// RateLimitTool: wraps the handler of a tool in an MCP server of your own, so that a call over the
// limit gets a result that says isError, which a model reads and acts on.
//
//     auto search = sluicegate::RateLimitTool("search", Search);
//     std::string result = search(arguments);  // Search's, or {"content":...,"isError":true,...}
//
// A handler is anything that std::invoke calls with the tool's arguments, in whatever types your
// server has. Where it returns the result as JSON text (std::string), nothing more is needed; for
// other types on_denied makes one. The rest is as for RateLimited: the wrapper owns copies of
// handler and options, not the limiter; exceptions pass through, and their charge stays; what a
// call has in flight ends when the handler returns. It is as thread-safe as what it was given.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sluicegate/rate_limited.h"
#include "sluicegate/tool_statistics.h"

namespace sluicegate {

/// Why a call of a tool was not made. A value type.
struct ToolDenied : Denied {
  std::string tool;
  bool modern = false;  ///< As the wrapper's options say.

  /// "Rate limit exceeded for tool search: 10 per minute. Retry after 7 seconds."
  [[nodiscard]] std::string message() const;
  /// The result of tools/call as JSON text: `content`, `isError`, and the numbers in `_meta`.
  [[nodiscard]] std::string result() const;
};

/// The default of on_denied, for handlers that return JSON text.
struct DeniedAsText {
  std::string operator()(const ToolDenied& denied) const { return denied.result(); }
};

/// Key and cost are those of RateLimitedOptions: functions that see the arguments as const
/// references, before the handler does.
template <class Key = OneForAll, class Cost = std::uint64_t, class OnDenied = DeniedAsText>
struct RateLimitToolOptions {
  Limiter* limiter = nullptr;  ///< Null: GlobalLimiter(). Must outlive the wrapper.
  Key key = {};                ///< Who is limited. Not set: all callers of the tool together.
  Cost cost = 1;               ///< Units a call.
  /// ToolDenied -> the handler's result type. One that takes the call's arguments too gets them
  /// behind it, unmoved.
  OnDenied on_denied = {};
  bool modern = false;  ///< The client speaks revision 2026-07-28: results have a resultType.
};

namespace internal {

void CountToolCall(std::string_view tool, bool limited);

/// Counts each call that was allowed, before it is made.
template <class Fn>
struct CountedTool {
  std::string tool;
  Fn fn;

  template <class... Args>
    requires std::invocable<Fn&, Args...>
  decltype(auto) operator()(Args&&... args) {
    CountToolCall(tool, false);
    return std::invoke(fn, std::forward<Args>(args)...);
  }
  template <class... Args>
    requires std::invocable<const Fn&, Args...>
  decltype(auto) operator()(Args&&... args) const {
    CountToolCall(tool, false);
    return std::invoke(fn, std::forward<Args>(args)...);
  }
};

}  // namespace internal

/// What RateLimitTool returns.
template <class Fn, class Key, class Cost, class OnDenied>
class RateLimitedTool {
 public:
  RateLimitedTool(std::string_view name, Fn handler,
                  RateLimitToolOptions<Key, Cost, OnDenied> options)
      : name_(name),
        modern_(options.modern),
        on_denied_(std::move(options.on_denied)),
        call_({.tool = name_, .fn = std::move(handler)}, {.limiter = options.limiter,
                                                          .name = name_,
                                                          .key = std::move(options.key),
                                                          .cost = std::move(options.cost)}) {}

  /// The handler's result, as a value; or on_denied's, where the limiter denies the call.
  template <class... Args>
    requires std::invocable<Fn&, Args...>
  auto operator()(Args&&... args) {
    return Answer<std::invoke_result_t<Fn&, Args...>>(call_, std::forward<Args>(args)...);
  }
  template <class... Args>
    requires std::invocable<const Fn&, Args...>
  auto operator()(Args&&... args) const {
    return Answer<std::invoke_result_t<const Fn&, Args...>>(call_, std::forward<Args>(args)...);
  }

 private:
  template <class Returned, class Call, class... Args>
  std::remove_cvref_t<Returned> Answer(Call& call, Args&&... args) const {
    using Result = std::remove_cvref_t<Returned>;
    static_assert(!std::is_same_v<OnDenied, DeniedAsText> || std::is_same_v<Result, std::string>,
                  "a handler that does not return JSON text in a std::string needs on_denied");
    auto outcome = call(std::forward<Args>(args)...);
    // NOLINTNEXTLINE(bugprone-use-after-move): a denied call moved nothing.
    if (!outcome) return Deny<Result>(std::move(outcome.error()), std::forward<Args>(args)...);
    if constexpr (std::is_lvalue_reference_v<Returned>) {
      return outcome->get();
    } else {
      return *std::move(outcome);
    }
  }

  template <class Result, class... Args>
  Result Deny(Denied&& denied, Args&&... args) const {
    internal::CountToolCall(name_, true);
    const ToolDenied why{{std::move(denied)}, name_, modern_};
    if constexpr (std::invocable<const OnDenied&, const ToolDenied&>) {
      return std::invoke(on_denied_, why);
    } else {
      return std::invoke(on_denied_, why, std::forward<Args>(args)...);
    }
  }

  std::string name_;
  bool modern_;
  OnDenied on_denied_;
  RateLimitedCall<internal::CountedTool<Fn>, Key, Cost> call_;
};

/// Wraps the handler of the tool `name`. Wrappers of one name on one limiter share their quotas.
template <class Fn, class Key = OneForAll, class Cost = std::uint64_t,
          class OnDenied = DeniedAsText>
[[nodiscard]] auto RateLimitTool(std::string_view name, Fn&& handler,
                                 RateLimitToolOptions<Key, Cost, OnDenied> options = {}) {
  return RateLimitedTool<std::decay_t<Fn>, Key, Cost, OnDenied>(name, std::forward<Fn>(handler),
                                                                std::move(options));
}

}  // namespace sluicegate
