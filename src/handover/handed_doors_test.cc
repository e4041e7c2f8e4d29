// The text that names handed-down sockets: back and forth, and what is none.
#include "handover/handed_doors.h"

#include <gtest/gtest.h>

#include <string>

namespace sluicegate::handover {
namespace {

TEST(HandedDoors, ATextSaysAllAgain) {
  const HandedDoors handed{.doors = {{"gateway", "127.0.0.1:0", {3, 4}},
                                     {"gateway", "[::1]:8443", {5}},
                                     {"admin", "127.0.0.1:9180", {6}}},
                           .ready = 7};
  EXPECT_EQ(handed.Text(),
            "gateway 127.0.0.1:0 3,4;gateway [::1]:8443 5;admin 127.0.0.1:9180 6;ready 7");
  EXPECT_EQ(HandedDoors::Parse(handed.Text()), handed);
}

TEST(HandedDoors, ReadyAloneWillDo) {
  EXPECT_EQ(HandedDoors::Parse("ready 3"), (HandedDoors{.doors = {}, .ready = 3}));
}

TEST(HandedDoors, WhatIsNoSuchTextIsNone) {
  for (const char* const text :
       {"", "ready", "ready x", "ready 3x", "ready 3,4", "ready 3;admin a 4", "admin a 3",
        "admin a;ready 3", "admin a ;ready 3", "admin  3;ready 4", " a 3;ready 4",
        "admin a 3,,4;ready 5", "admin a 3 4;ready 5", ";ready 3"}) {
    EXPECT_FALSE(HandedDoors::Parse(text)) << text;
  }
}

TEST(HandedDoors, DescriptorsAreBehindTheStandardOnesAndNamedOnce) {
  EXPECT_FALSE(HandedDoors::Parse("ready 2"));
  EXPECT_FALSE(HandedDoors::Parse("ready -1"));
  EXPECT_FALSE(HandedDoors::Parse("ready 99999999999"));
  EXPECT_FALSE(HandedDoors::Parse("admin a 3;ready 3"));
  EXPECT_FALSE(HandedDoors::Parse("gateway a 3;gateway b 3;ready 4"));
}

TEST(HandedDoors, ALongTextIsNone) {
  std::string text;
  for (int i = 0; text.size() <= std::size_t{64} * 1024; ++i) {
    text += "gateway a " + std::to_string(i + 4) + ";";
  }
  EXPECT_FALSE(HandedDoors::Parse(text + "ready 3"));
}

}  // namespace
}  // namespace sluicegate::handover
