#include "pipe/held_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluicegate::pipe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

HeldPlaces::Places Some(std::size_t count) { return HeldPlaces::Places(count); }

TEST(HeldPlacesTest, AnAnswerFreesItsOwn) {
  HeldPlaces held;
  held.Hold({"1"}, Some(1));
  held.Hold({"\"1\""}, Some(2));
  EXPECT_THAT(held.Take("2"), IsEmpty());
  EXPECT_THAT(held.Take("null"), IsEmpty());
  EXPECT_THAT(held.Take("1"), SizeIs(1));
  EXPECT_THAT(held.Take("1"), IsEmpty());
  EXPECT_THAT(held.Take("\"1\""), SizeIs(2));
  EXPECT_TRUE(held.empty());
}

TEST(HeldPlacesTest, ABatchHoldsUntilItsLastAnswer) {
  HeldPlaces held;
  held.Hold({"1", "2"}, Some(3));
  EXPECT_THAT(held.Take("2"), IsEmpty());
  EXPECT_THAT(held.Take("1"), SizeIs(3));
}

TEST(HeldPlacesTest, AnIdThatComesTwiceIsTwoRequests) {
  HeldPlaces held;
  held.Hold({"7"}, Some(1));
  held.Hold({"7"}, Some(1));
  EXPECT_THAT(held.Take("7"), SizeIs(1));
  EXPECT_THAT(held.Take("7"), SizeIs(1));
  EXPECT_THAT(held.Take("7"), IsEmpty());
}

TEST(HeldPlacesTest, AllAtOnce) {
  HeldPlaces held;
  held.Hold({"1", "2"}, Some(3));
  held.Hold({"3"}, Some(1));
  EXPECT_THAT(held.TakeAll(), SizeIs(4));
  EXPECT_TRUE(held.empty());
}

TEST(HeldPlacesTest, ServersSpellIdsTheirOwnWay) {
  EXPECT_EQ(CanonicalId(R"("a\u0062")"), CanonicalId("\"ab\""));
  EXPECT_EQ(CanonicalId("1.0"), CanonicalId("1"));
  EXPECT_EQ(CanonicalId("1e2"), CanonicalId("100"));
  EXPECT_NE(CanonicalId("1"), CanonicalId("\"1\""));
  EXPECT_NE(CanonicalId("1.5"), CanonicalId("1"));
  EXPECT_EQ(CanonicalId("no json"), "no json");
}

TEST(HeldPlacesTest, WhatIsCancelled) {
  EXPECT_THAT(CancelledIds(R"({"method":"notifications/cancelled","params":{"requestId":7}})"),
              ElementsAre("7"));
  EXPECT_THAT(CancelledIds(R"([{"method":"x","params":{"requestId":1}}, 5,
      {"method":"notifications/cancelled","params":{"requestId":"a\u0062"}}])"),
              ElementsAre("\"ab\""));
  for (const char* const text :
       {"", "[]", "null", "{", R"({"method":"notifications/cancelled"})",
        R"({"method":"notifications/cancelled","params":[]})",
        R"({"method":"notifications/cancelled","params":{"requestId":null}})",
        R"({"method":"notifications/cancelled","params":{"requestId":{}}})"}) {
    EXPECT_THAT(CancelledIds(text), IsEmpty()) << text;
  }
}

}  // namespace
}  // namespace sluicegate::pipe
