#include "gateway/balancer.h"

#include <gtest/gtest.h>

#include <string>

namespace sluicegate::gateway {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

class BalancerTest : public testing::Test {
 protected:
  void Use(std::size_t servers) {
    auto group = std::make_shared<UpstreamGroup>();
    group->rest = std::chrono::seconds(10);
    for (std::size_t i = 0; i < servers; ++i) {
      auto target = std::make_shared<UpstreamTarget>();
      target->url = std::string(1, static_cast<char>('a' + i));
      group->targets.push_back(std::move(target));
    }
    group_ = group;
    balancer_.Take(group_);
  }
  /// Whom the next request would be sent to, and then where the ones before could not.
  std::string Order() {
    std::string order;
    std::uint64_t tried = 0;
    while (const TargetPtr target = balancer_.Choose(now_ns_, tried)) order += target->url;
    return order;
  }
  /// Whom the next requests are sent to.
  std::string Turns(unsigned requests) {
    std::string turns;
    for (unsigned i = 0; i < requests; ++i) {
      std::uint64_t tried = 0;
      turns += balancer_.Choose(now_ns_, tried)->url;
    }
    return turns;
  }
  bool Unreachable(std::size_t place) {
    return balancer_.NoteUnreachable(*group_->targets[place], now_ns_);
  }
  bool Fails(std::size_t place) { return balancer_.NoteFailure(*group_->targets[place], now_ns_); }
  void Answers(std::size_t place) { balancer_.NoteAnswer(*group_->targets[place]); }

  std::uint64_t now_ns_ = 1000 * kSecond;
  std::shared_ptr<const UpstreamGroup> group_;
  Balancer balancer_;
};

TEST_F(BalancerTest, EachInItsTurnAndEachOnceForARequest) {
  Use(3);
  EXPECT_EQ(Turns(6), "abcabc");
  EXPECT_EQ(Order(), "abc");
  Turns(1);
  EXPECT_EQ(Order(), "bca");
}

TEST_F(BalancerTest, OneThatRestsIsTheLastThatIsAsked) {
  Use(3);
  EXPECT_TRUE(Unreachable(1));
  EXPECT_EQ(Turns(4), "acac");
  EXPECT_EQ(Order(), "acb");
  now_ns_ += 10 * kSecond;
  EXPECT_EQ(Turns(3), "cab");
}

// The one whose rest ended first had everything, so that one client could send all others there.
TEST_F(BalancerTest, WhereAllRestEachHasItsTurn) {
  Use(3);
  for (std::size_t place = 0; place < 3; ++place) {
    EXPECT_TRUE(Unreachable(place));
    now_ns_ += kSecond;
  }
  EXPECT_EQ(Turns(6), "abcabc");
  EXPECT_EQ(Order(), "abc");
  Answers(1);
  EXPECT_EQ(Turns(3), "bbb");
}

TEST_F(BalancerTest, ItRestsAfterThreeFailuresInARow) {
  Use(2);
  EXPECT_FALSE(Fails(0));
  EXPECT_FALSE(Fails(0));
  Answers(0);
  EXPECT_FALSE(Fails(0));
  EXPECT_FALSE(Fails(0));
  EXPECT_EQ(Turns(2), "ab");
  EXPECT_TRUE(Fails(0));
  EXPECT_EQ(Turns(2), "bb");
}

TEST_F(BalancerTest, ARestIsToldOnceHoweverManyFindItSo) {
  Use(2);
  EXPECT_TRUE(Unreachable(0));
  EXPECT_FALSE(Unreachable(0));
  now_ns_ += 9 * kSecond;
  EXPECT_FALSE(Unreachable(0));
  now_ns_ += 10 * kSecond;
  EXPECT_TRUE(Unreachable(0)) << "it rested, and rests again";
}

TEST_F(BalancerTest, OneThatFailsAndAnswersInTurnIsToldOfOnceInItsRest) {
  Use(2);
  unsigned told = 0;
  for (unsigned i = 0; i < 100; ++i) {
    told += Unreachable(0) ? 1U : 0U;
    Answers(0);
    now_ns_ += kSecond / 2;
  }
  EXPECT_EQ(told, 5U) << "in 50 s";
}

TEST_F(BalancerTest, OneThatIsAloneNeverRestsAndIsToldOfWhenItBeginsToFail) {
  Use(1);
  EXPECT_TRUE(balancer_.alone());
  EXPECT_TRUE(Unreachable(0));
  for (unsigned i = 0; i < 100; ++i) {
    EXPECT_FALSE(Unreachable(0)) << "it goes on failing";
    EXPECT_EQ(Turns(1), "a");
    now_ns_ += kSecond;
  }
  Answers(0);
  EXPECT_TRUE(Unreachable(0)) << "it begins again";
  Answers(0);
  EXPECT_FALSE(Unreachable(0)) << "so soon";
  now_ns_ += 10 * kSecond;
  EXPECT_TRUE(Unreachable(0)) << "it was not told before";
}

TEST_F(BalancerTest, AReloadThatLeavesOneAloneEndsItsRest) {
  Use(2);
  EXPECT_TRUE(Unreachable(0));
  auto group = std::make_shared<UpstreamGroup>();
  group->rest = group_->rest;
  group->targets = {group_->targets[0]};
  group_ = group;
  balancer_.Take(group_);
  EXPECT_EQ(Turns(2), "aa");
  EXPECT_EQ(Order(), "a");
}

}  // namespace
}  // namespace sluicegate::gateway
