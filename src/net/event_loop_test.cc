// The event loop's own: work that goes on group by group. What sockets, timers and listeners ask of
// it is tested with them.
#include "net/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "net/socket.h"
#include "net/task.h"

namespace sluicegate::net {
namespace {

// Some connections on one loop, each with a coroutine that reads a byte, thinks and answers, and
// notes when it does which.
class RegroupTest : public testing::Test {
 protected:
  struct Connection {
    std::unique_ptr<Socket> ours;
    FileDescriptor theirs;
  };

  void Open(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      std::array<int, 2> ends{};
      ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()),
                0);
      connections_.push_back({.ours = std::make_unique<Socket>(loop_, FileDescriptor(ends[0])),
                              .theirs = FileDescriptor(ends[1])});
      Spawn(Serve(*connections_.back().ours), 0);
    }
  }
  ~RegroupTest() override {
    for (const Connection& connection : connections_) connection.ours->Close();
    loop_.RunReady();
  }

  Task<void> Serve(Socket& socket) {
    std::array<char, 1> room{};
    for (;;) {
      const Transfer read = co_await socket.ReadSome(room);
      if (read.error != kNoError) co_return;
      done_ += 'r';
      co_await loop_.Regroup();
      done_ += 't';
      co_await loop_.Regroup();
      done_ += 'a';
    }
  }

  void Ask(std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i) {
      ASSERT_EQ(::send(connections_[i].theirs.get(), "x", 1, 0), 1);
    }
  }

  EventLoop loop_;
  std::vector<Connection> connections_;
  std::string done_;
};

TEST_F(RegroupTest, AllReadThenAllThinkThenAllAnswer) {
  Open(4);
  Ask(0, 4);
  loop_.RunReady();
  EXPECT_EQ(done_, "rrrrttttaaaa");
  done_.clear();
  Ask(1, 3);
  loop_.RunReady();
  EXPECT_EQ(done_, "rrttaa");
}

TEST_F(RegroupTest, WhoeverIsAloneDoesNotWait) {
  Open(2);
  Ask(0, 1);
  loop_.RunReady();
  EXPECT_EQ(done_, "rta");
}

TEST_F(RegroupTest, GroupsAreBounded) {
  constexpr std::size_t kMany = 100;
  Open(kMany);
  Ask(0, kMany);
  loop_.RunReady();
  EXPECT_EQ(std::ranges::count(done_, 'a'), static_cast<std::ptrdiff_t>(kMany));
  const std::size_t first_answer = done_.find('a');
  EXPECT_LT(first_answer, kMany) << "some answer before all have read";
  EXPECT_EQ(done_.substr(0, first_answer),
            std::string(first_answer / 2, 'r') + std::string(first_answer / 2, 't'));
}

TEST_F(RegroupTest, WhoIsPostedGoesOnInTheSameTurn) {
  unsigned done = 0;
  auto work = [](EventLoop& loop, unsigned& count) -> Task<void> {
    for (unsigned i = 0; i < 3; ++i) {
      co_await loop.Regroup();
      ++count;
    }
  };
  loop_.Post([&] { Spawn(work(loop_, done), 0); });
  loop_.Post([&] { Spawn(work(loop_, done), 0); });
  loop_.RunOnce(std::chrono::milliseconds(100));
  EXPECT_EQ(done, 6U);
}

}  // namespace
}  // namespace sluicegate::net
