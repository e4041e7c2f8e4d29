// RateLimited: every kind of callable, what keys and costs see, and what a denial says.
#include "sluicegate/rate_limited.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/manual_clock.h"

namespace sluicegate {
namespace {

constexpr std::size_t kSmall = 64 * 1024;

class RateLimitedTest : public ::testing::Test {
 protected:
  static Limiter Make(LimitLike limit, const Clock& clock) {
    return std::move(*Limiter::Create({limit}, {.memory_bytes = kSmall, .clock = &clock}));
  }
  ManualClock clock_;
  Limiter limiter_ = Make("2/minute", clock_);
};

int Twice(int value) { return 2 * value; }

struct Shop {
  virtual ~Shop() = default;  // A call through a member pointer finds virtual functions, too.
  int sold = 0;
  virtual int Sell(int count) { return sold += count; }
  [[nodiscard]] int Sold() const { return sold; }
};

TEST_F(RateLimitedTest, FunctionsAndPointersToThem) {
  auto twice = RateLimited(Twice, RateLimitedOptions{.limiter = &limiter_});
  auto by_pointer = RateLimited(&Twice, RateLimitedOptions{.limiter = &limiter_});
  EXPECT_EQ(twice(4).value(), 8);
  EXPECT_EQ(twice(5).value(), 10);
  EXPECT_FALSE(twice(6).has_value());
  // Another wrapper has a quota of its own.
  EXPECT_EQ(by_pointer(1).value(), 2);
}

TEST_F(RateLimitedTest, WrappersOfOneNameAndCopiesShareAQuota) {
  auto a = RateLimited(Twice, RateLimitedOptions{.limiter = &limiter_, .name = "twice"});
  auto b = RateLimited(Twice, RateLimitedOptions{.limiter = &limiter_, .name = "twice"});
  auto copy = a;
  EXPECT_TRUE(a(1).has_value());
  EXPECT_TRUE(b(1).has_value());
  EXPECT_FALSE(copy(1).has_value());
}

TEST_F(RateLimitedTest, MembersTakeTheObjectFirst) {
  Shop shop;
  auto sell = RateLimited(&Shop::Sell, RateLimitedOptions{.limiter = &limiter_});
  EXPECT_EQ(sell(shop, 3).value(), 3);
  EXPECT_EQ(sell(&shop, 1).value(), 4);
  EXPECT_FALSE(sell(shop, 1).has_value());
  EXPECT_EQ(shop.sold, 4) << "a denied call was made";
  auto sold = RateLimited(&Shop::Sold, RateLimitedOptions{.limiter = &limiter_});
  EXPECT_EQ(sold(std::as_const(shop)).value(), 4);
  auto field = RateLimited(&Shop::sold, RateLimitedOptions{.limiter = &limiter_});
  field(shop).value().get() = 9;
  EXPECT_EQ(shop.sold, 9);
}

TEST_F(RateLimitedTest, VoidAndMutableLambdas) {
  int calls = 0;
  auto count = RateLimited([&calls, own = 0]() mutable { calls = ++own; },
                           RateLimitedOptions{.limiter = &limiter_});
  static_assert(std::is_same_v<decltype(count()), std::expected<void, Denied>>);
  EXPECT_TRUE(count().has_value());
  EXPECT_TRUE(count().has_value());
  EXPECT_FALSE(count().has_value());
  EXPECT_EQ(calls, 2);
}

TEST_F(RateLimitedTest, MoveOnlyArgumentsResultsAndCallables) {
  auto pass = RateLimited(
      [held = std::make_unique<int>(1)](std::unique_ptr<int> value) {
        *value += *held;
        return value;
      },
      RateLimitedOptions{.limiter = &limiter_,
                         .key = [](const std::unique_ptr<int>& value) { return *value; }});
  auto result = pass(std::make_unique<int>(4));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(**result, 5);
  auto kept = std::make_unique<int>(4);
  EXPECT_TRUE(pass(std::make_unique<int>(4)).has_value());
  EXPECT_FALSE(pass(std::move(kept)).has_value());
  EXPECT_NE(kept, nullptr) << "a denied call took its argument";  // NOLINT(bugprone-use-after-move)
}

TEST_F(RateLimitedTest, ReferencesStayReferences) {
  std::string word = "old";
  auto get = RateLimited([&word]() -> std::string& { return word; },
                         RateLimitedOptions{.limiter = &limiter_});
  get().value().get() = "new";
  EXPECT_EQ(word, "new");
  // A result that could be moved from is kept as a value.
  auto take = RateLimited([&word]() -> std::string&& { return std::move(word); },
                          RateLimitedOptions{.limiter = &limiter_});
  static_assert(std::is_same_v<decltype(take())::value_type, std::string>);
  EXPECT_EQ(take().value(), "new");
}

TEST_F(RateLimitedTest, KeysAreTextsViewsOrIntegers) {
  const auto run = [](auto wrapped, auto first, auto second) {
    EXPECT_TRUE(wrapped(first).has_value());
    EXPECT_TRUE(wrapped(first).has_value());
    EXPECT_FALSE(wrapped(first).has_value());
    EXPECT_TRUE(wrapped(second).has_value());
  };
  const auto nothing = [](const auto&) {};
  run(RateLimited(nothing, RateLimitedOptions{.limiter = &limiter_,
                                              .key = [](const std::string& s) { return s; }}),
      std::string("ada"), std::string("bob"));
  run(RateLimited(
          nothing,
          RateLimitedOptions{.limiter = &limiter_,
                             .key = [](const std::string& s) { return std::string_view(s); }}),
      std::string("ada"), std::string("bob"));
  run(RateLimited(nothing,
                  RateLimitedOptions{.limiter = &limiter_, .key = [](const char* s) { return s; }}),
      "ada", "bob");
  run(RateLimited(nothing,
                  RateLimitedOptions{.limiter = &limiter_, .key = [](int id) { return id; }}),
      1, -1);
}

TEST_F(RateLimitedTest, NamesAndKeysCannotBeMistakenForEachOther) {
  EXPECT_NE(internal::JoinKey("a", "bc"), internal::JoinKey("ab", "c"));
  EXPECT_NE(internal::JoinKey("", "1:a"), internal::JoinKey("1:a", ""));
  EXPECT_NE(internal::UniqueName(), internal::UniqueName());
}

TEST_F(RateLimitedTest, CostsAreNumbersOrFunctions) {
  auto two = RateLimited(Twice, RateLimitedOptions{.limiter = &limiter_, .cost = 2});
  EXPECT_TRUE(two(1).has_value());
  EXPECT_FALSE(two(1).has_value());
  auto by_size =
      RateLimited([](const std::string& s) { return s.size(); },
                  RateLimitedOptions{.limiter = &limiter_,
                                     .cost = [](const std::string& s) { return s.size(); }});
  EXPECT_TRUE(by_size("ab").has_value());
  EXPECT_FALSE(by_size("c").has_value());
  EXPECT_TRUE(by_size("").has_value()) << "a cost of nothing peeks";
}

TEST_F(RateLimitedTest, ExceptionsPassAndTheirChargeStays) {
  auto fail = RateLimited([]() -> int { throw std::runtime_error("no"); },
                          RateLimitedOptions{.limiter = &limiter_});
  EXPECT_THROW((void)fail(), std::runtime_error);
  EXPECT_THROW((void)fail(), std::runtime_error);
  EXPECT_FALSE(fail().has_value());
}

// A lazy coroutine: the body runs when it is resumed.
struct Lazy {
  struct promise_type {
    int value = 0;
    Lazy get_return_object() {
      return Lazy(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_value(int result) noexcept { value = result; }
    void unhandled_exception() noexcept { std::terminate(); }
  };
  explicit Lazy(std::coroutine_handle<promise_type> h) : handle(h) {}
  Lazy(Lazy&& other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  Lazy& operator=(Lazy&&) = delete;
  ~Lazy() {
    if (handle) handle.destroy();
  }
  int Run() {
    handle.resume();
    return handle.promise().value;
  }
  std::coroutine_handle<promise_type> handle;
};

Lazy Slow(int value, int& started) {
  ++started;
  co_return value + 1;
}

TEST_F(RateLimitedTest, CoroutinesAreDecidedAtTheCall) {
  int started = 0;
  auto slow = RateLimited(Slow, RateLimitedOptions{.limiter = &limiter_});
  auto first = slow(1, started);
  auto second = slow(2, started);
  EXPECT_FALSE(slow(3, started).has_value());
  EXPECT_EQ(started, 0);
  EXPECT_EQ(first.value().Run(), 2);
  EXPECT_EQ(second.value().Run(), 3);
  EXPECT_EQ(started, 2);
}

TEST_F(RateLimitedTest, ADenialSaysWhichLimitAndHowLong) {
  auto denied_by = [this](LimitLike limit, int used, std::uint64_t cost) {
    Limiter limiter = Make(std::move(limit), clock_);
    auto call = RateLimited(
        [](std::uint64_t) {},
        RateLimitedOptions{.limiter = &limiter, .cost = [](std::uint64_t c) { return c; }});
    for (int i = 0; i < used; ++i) EXPECT_TRUE(call(1).has_value());
    const auto result = call(cost);
    EXPECT_FALSE(result.has_value());
    return result.error();
  };
  const Denied bucket = denied_by(Limit::Burst(2, "1/7s"), 2, 1);
  EXPECT_EQ(bucket.limit.name, "burst");
  EXPECT_EQ(bucket.message(), "Rate limit exceeded: a burst of 2. Retry after 7 seconds.");
  EXPECT_EQ(denied_by(Limit::Burst(1, "10/s"), 1, 1).message(),
            "Rate limit exceeded: a burst of 1. Retry after 1 second.");
  const Denied window = denied_by("2/minute", 2, 1);
  EXPECT_EQ(window.decision.verdict, Verdict::kLimited);
  // A unit comes back with the slice that held it: at most 16/15 of the window.
  EXPECT_THAT(window.message(),
              ::testing::MatchesRegex("Rate limit exceeded: 2 per minute. Retry after 6[0-4] "
                                      "seconds."));
  EXPECT_EQ(denied_by("2/5min", 0, 3).message(),
            "Rate limit exceeded: 2 per 5min. The call costs more than that, so no wait makes it "
            "fit.");
}

}  // namespace
}  // namespace sluicegate
