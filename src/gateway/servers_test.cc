// Which of several servers a request goes to, and what is held against one that gave no answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <vector>

#include "gateway/proxy_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

constexpr std::string_view kPost = "POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";

/// So many servers as a test wants, each of which it plays.
class Servers : public Proxy {
 protected:
  Servers() {
    on_alarm_ = [this](const std::string& line) {
      const std::lock_guard lock(mu_);
      alarms_.push_back(line);
    };
  }
  ~Servers() override {
    gateway_.reset();
    for (const int door : doors_) ::close(door);
  }
  void ServeWith(unsigned servers) {
    for (unsigned i = 0; i < servers; ++i) {
      std::uint16_t port = 0;
      doors_.push_back(Listen(port));
      servers_.push_back({.host = "127.0.0.1", .port = port});
    }
    Serve();
  }
  /// The client's next request is sent there, who closes without an answer.
  void Loses(std::size_t place) { AcceptFrom(doors_[place]).Head(); }
  /// A request of a new client, which closes its connection, is answered there.
  void Answers(std::size_t place) {
    Peer client = Client();
    client.Send("GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    Peer upstream = AcceptFrom(doors_[place]);
    AnswerOk(upstream, client);
  }
  std::vector<std::string> Alarms() {
    const std::lock_guard lock(mu_);
    return alarms_;
  }

  std::vector<int> doors_;
  std::mutex mu_;
  std::vector<std::string> alarms_;  // Guarded by mu_.
};

// A client whose request makes the application close had made all of them rest for everybody.
TEST_F(Servers, WhatAllOfThemCloseOnIsHeldAgainstNone) {
  ServeWith(3);
  for (unsigned i = 0; i < 4; ++i) {
    Peer client = Client();
    client.Send(kGet);
    for (std::size_t place = 0; place < 3; ++place) Loses(place);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
  }
  for (std::size_t place = 0; place < 3; ++place) Answers(place);
  EXPECT_THAT(Alarms(), IsEmpty());
}

TEST_F(Servers, OneThatClosesOnWhatAnotherAnswersRestsAfterThreeOfThem) {
  ServeWith(2);
  for (unsigned i = 0; i < 3; ++i) {
    Peer client = Client();
    client.Send(kGet);
    Loses(0);
    Peer other = AcceptFrom(doors_[1]);
    AnswerOk(other, client);
  }
  for (unsigned i = 0; i < 3; ++i) Answers(1);
  EXPECT_THAT(Alarms(), ElementsAre(EndsWith("others stand in: it closed before it answered")));
}

TEST_F(Servers, WhatThreeCloseOnGoesToNoFourth) {
  ServeWith(4);
  Peer client = Client();
  client.Send(kGet);
  for (std::size_t place = 0; place < 3; ++place) Loses(place);
  EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
  Answers(3);
}

TEST_F(Servers, OneThatIsAloneIsToldOfOnceAndDoesNotRest) {
  ServeWith(1);
  for (unsigned i = 0; i < 20; ++i) {
    Peer client = Client();
    client.Send(kPost);
    Loses(0);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
    if (i % 4 == 3) Answers(0);
  }
  ASSERT_THAT(Alarms(), SizeIs(1));
  EXPECT_THAT(Alarms()[0], HasSubstr(" fails, and no other stands in: it broke off"));
  EXPECT_THAT(Alarms()[0], Not(HasSubstr("rests")));
}

TEST_F(Servers, OneThatIsAloneAndCannotBeReachedIsToldOfOnce) {
  ServeWith(1);
  ::shutdown(doors_[0], SHUT_RDWR);
  for (unsigned i = 0; i < 5; ++i) {
    Peer client = Client();
    client.Send(kGet);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 502 "));
  }
  EXPECT_THAT(Alarms(),
              ElementsAre(HasSubstr(" fails, and no other stands in: Connection refused")));
}

}  // namespace
}  // namespace sluicegate::gateway
