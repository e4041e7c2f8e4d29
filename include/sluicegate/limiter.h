// Limiter: may this key do this now? A few limits, and for each key what it used of them.
//
//     auto limiter = sluicegate::Limiter::Create({"60/minute", "1000/hour"});
//     if (!limiter) return Complain(limiter.error());
//     if (!limiter->Check("user:42")) return TooManyRequests();
//
// A key is charged on all limits or on none, and a denial costs it nothing. Memory is fixed when
// the limiter is made: nothing expires by a timer and nothing grows. Where more keys are live than
// fit, the one that used the least of its limits gives way (doc/library.md, "Memory").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "sluicegate/decision.h"
#include "sluicegate/limit.h"
#include "sluicegate/limiter_options.h"
#include "sluicegate/time.h"

namespace sluicegate {

/// What is known of a key. A value type.
struct KeyUse {
  std::array<std::uint64_t, 8> used{};  ///< Units in use of each limit, in the order of limits().
  std::uint64_t violations = 0;         ///< That count towards a ban; banned: as many as earn one.
  std::uint64_t ban_left_ns = 0;        ///< 0: not banned.
};

/// A limit in the form that is at hand: a text such as "60/minute", or a Limit. A value type.
class LimitLike {
 public:
  // Implicit, so that a list may mix both. NOLINTBEGIN(google-explicit-constructor)
  LimitLike(const char* text) : LimitLike(std::string_view(text)) {}
  LimitLike(std::string_view text) : limit_(Limit::Parse(text)) {}
  LimitLike(const std::string& text) : LimitLike(std::string_view(text)) {}
  LimitLike(Limit limit) : limit_(std::move(limit)) {}
  // NOLINTEND(google-explicit-constructor)

  /// The limit, or what is wrong with the text.
  [[nodiscard]] const std::expected<Limit, std::string>& limit() const noexcept { return limit_; }

 private:
  std::expected<Limit, std::string> limit_;
};

/// Thread-safe: any thread may ask; two that ask for the same key wait for each other some
/// nanoseconds. Owns its memory. Moves, and does not copy; a moved-from limiter may only be
/// assigned to or destroyed, and no thread may use a limiter while it moves.
class Limiter {
 public:
  /// One to eight limits. The error is a sentence that says what is wrong (a text that is no limit,
  /// a bucket without a refill, two limits of one name, too little memory, a file that cannot be
  /// used) and what to write instead.
  [[nodiscard]] static std::expected<Limiter, std::string> Create(
      std::initializer_list<LimitLike> limits, const LimiterOptions& options = {});
  [[nodiscard]] static std::expected<Limiter, std::string> Create(
      std::span<const Limit> limits, const LimiterOptions& options = {});
  Limiter(Limiter&& other) noexcept;
  Limiter& operator=(Limiter&& other) noexcept;
  ~Limiter();

  /// Charges `key` with `cost` units on every limit, or on none where one has no room. Any bytes
  /// are a key; the empty one is a key like others. Total: never fails, never throws, allocates
  /// nothing.
  ///
  /// The decision is true in a boolean context if the units were charged. `remaining`,
  /// `reset_after_ns` and `retry_after_ns` speak of the limit that binds: denied, the one that
  /// frees up last; else the one with the fewest units left.
  [[nodiscard]] Decision Check(std::string_view key, std::uint64_t cost = 1) noexcept;

  /// As Check for each key in turn, with one reading of the clock; faster where there are many
  /// keys, as their memory is fetched ahead. Of two spans of different length the shorter one
  /// counts.
  void CheckMany(std::span<const std::string_view> keys, std::span<Decision> decisions,
                 std::uint64_t cost = 1) noexcept;

  /// What the key has left, charging nothing: a decision of cost 0, so always allowed.
  [[nodiscard]] Decision Peek(std::string_view key) noexcept { return Check(key, 0); }

  /// Counts a violation of the key: what one is, is the caller's to say, a denial for example.
  /// True if it begins a ban; until its end Check says Verdict::kBanned. During a ban, or without
  /// LimiterOptions::penalty, it does nothing.
  bool RecordViolation(std::string_view key) noexcept;

  /// What is known of the key. Charges nothing. Of a key that a stopped process holds: nothing.
  [[nodiscard]] KeyUse Look(std::string_view key) noexcept;

  /// Forgets what the key used of its rates, its violations and its ban; what it has in flight
  /// stays. One that gave way while it was at a limit may come again as well; but if it loses its
  /// place once more before that limit is clear, it is denied for the rest of that time. False: a
  /// stopped process holds the key.
  bool Forget(std::string_view key) noexcept;
  /// Forgets the same of all keys, whether or not they gave way. How many had something of a rate
  /// in use. Others may ask meanwhile; it takes some 40 ns for 12 keys that fit.
  std::uint64_t ForgetAll() noexcept;

  /// Undoes the charge of an allowed decision, once; a second time would give back what others
  /// were charged. Does nothing for a denied decision, a charge that expired, or one of another
  /// limiter.
  void GiveBack(const Decision& decision) noexcept;

  /// Ends what an allowed decision put in flight (a limit {concurrency}); its other charges stay.
  /// Without it that ends with the lease. Once for each decision; class Lease sees to it.
  void Release(const Decision& decision) noexcept;

  /// The limits as they are enforced, each with its name and a bucket with its refill, in the given
  /// order: `limits()[decision.limit]` is the one that binds. Constant while the limiter lives.
  [[nodiscard]] std::span<const Limit> limits() const noexcept;

  /// How many keys fit: with something of their rates used, or, where there are only limits of
  /// units in flight, with some in flight.
  [[nodiscard]] std::uint64_t capacity() const noexcept;

  /// Keys with something of their limits in use. It looks at each place for a key, some 10 ns
  /// each, or at a sample of 6 million.
  [[nodiscard]] std::uint64_t EstimateLive() noexcept;
  /// Of these, the ones with something of the limit `limits()[limit]` in use: of a window, who
  /// asked within it. 0 for a limit of units in flight beside others, and for a number that is
  /// none.
  [[nodiscard]] std::uint64_t EstimateLive(std::size_t limit);

  /// Keys that had used something of a limit and gave way to others since the limiter was made: if
  /// this grows, it needs more memory. Those at a limit stay denied until they are clear again.
  [[nodiscard]] std::uint64_t evictions() const noexcept;

 private:
  friend class Lease;  // Outlives a move of its limiter.
  class Impl;
  static void Release(Impl& impl, const Decision& decision) noexcept;
  explicit Limiter(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluicegate
