#include "pipe/stdio_pump.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/manual_clock.h"

namespace sluicegate::pipe {
namespace {

// Denies lines that begin with "no", and answers them.
class NoGate final : public LineGate {
 public:
  [[nodiscard]] std::size_t padding() const noexcept override { return 8; }
  [[nodiscard]] bool Admits(std::string_view line, Now /*now*/, std::string& answers) override {
    if (!line.starts_with("no")) return true;
    answers += "denied " + std::string(line);
    return false;
  }
  void RefuseTooLong(std::string& answers) override { answers += "too long\n"; }
  void Observe(std::string_view bytes, Now /*now*/) override { observed += bytes; }
  void OnSecond(Now /*now*/) override {}

  std::string observed;
};

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    Close(0);
    Close(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void Close(std::size_t end) {
    if (ends[end] >= 0) ::close(ends[end]);
    ends[end] = -1;
  }

  std::array<int, 2> ends{-1, -1};
};

struct Outcome {
  ChildProcess::End end;
  std::string output;
  std::string observed;
};

void WriteAll(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(descriptor, text.data(), text.size());
    if (put < 0) return;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

std::string ReadAll(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

// Runs a command behind a pump, with a client that sends `input` and reads all.
Outcome RunCommand(const std::vector<std::string>& command, const std::string& input,
                   std::size_t longest = 1000) {
  Pipe in;
  Pipe out;
  Outcome outcome;
  SignalFeed signals;  // Before there are threads.
  const auto server = ChildProcess::Start(command, [&signals] { signals.Restore(); });
  EXPECT_TRUE(server);
  if (!server) return outcome;
  std::jthread writer([&] {
    WriteAll(in.ends[1], input);
    in.Close(1);
  });
  std::jthread reader([&] { outcome.output = ReadAll(out.ends[0]); });
  NoGate gate;
  const ManualClock clock;
  StdioPump pump({.client_in = in.ends[0], .client_out = out.ends[1], .longest_line = longest},
                 **server, signals, gate, clock);
  outcome.end = pump.Run();
  outcome.observed = gate.observed;
  out.Close(1);
  reader.join();
  writer.join();
  return outcome;
}

class StdioPumpTest : public ::testing::Test {
 protected:
  StdioPumpTest() { std::signal(SIGPIPE, SIG_IGN); }
};

TEST_F(StdioPumpTest, AdmittedLinesGoThroughAndDeniedOnesAreAnswered) {
  const Outcome outcome = RunCommand({"cat"}, "a\nno b\nc\n");
  EXPECT_THAT(outcome.output,
              testing::AnyOf("denied no b\na\nc\n", "a\ndenied no b\nc\n", "a\nc\ndenied no b\n"));
  EXPECT_EQ(outcome.observed, "a\nc\n");
  EXPECT_EQ(outcome.end.status, 0);
}

TEST_F(StdioPumpTest, ALastLineWithoutAnEndIsDecidedAndGoesOnAsItIs) {
  EXPECT_EQ(RunCommand({"cat"}, "a\nb").output, "a\nb");
  EXPECT_EQ(RunCommand({"cat"}, "no").output, "denied no");
  EXPECT_EQ(RunCommand({"cat"}, "").output, "");
}

TEST_F(StdioPumpTest, WhatIsTooLongIsToldAndItsNeighboursPass) {
  const std::string longer(200'000, 'x');
  const Outcome outcome = RunCommand({"cat"}, "a\n" + longer + "\nb\n");
  EXPECT_EQ(outcome.observed, "a\nb\n");
  EXPECT_THAT(outcome.output, testing::HasSubstr("too long\n"));
}

TEST_F(StdioPumpTest, MuchGoesThroughWhole) {
  std::string input;
  for (int line = 0; line < 200'000; ++line) input += "line " + std::to_string(line) + "\n";
  EXPECT_EQ(RunCommand({"cat"}, input).output, input);
  const std::string big = std::string(std::size_t{3} << 20U, 'x') + "\n";
  EXPECT_EQ(RunCommand({"cat"}, "a\n" + big + "b\n", big.size()).output, "a\n" + big + "b\n");
}

TEST_F(StdioPumpTest, ItEndsAsItsServerDoes) {
  EXPECT_EQ(RunCommand({"sh", "-c", "exit 7"}, "").end.status, 7);
  const ChildProcess::End end = RunCommand({"sh", "-c", "kill -KILL $$"}, "").end;
  EXPECT_EQ(end.signal, SIGKILL);
  EXPECT_EQ(end.status, 128 + SIGKILL);
}

// Another may hold its output open for ever; what it wrote itself is there when it has ended.
TEST_F(StdioPumpTest, AServersEndIsTheEnd) {
  const Outcome outcome = RunCommand({"sh", "-c", "sleep 20 2> /dev/null & seq 20000"}, "");
  EXPECT_EQ(outcome.observed.size(), 108'894U);
  EXPECT_EQ(outcome.output, outcome.observed);
}

TEST_F(StdioPumpTest, AServerThatDoesNotReadIsNoLoss) {
  EXPECT_EQ(RunCommand({"sh", "-c", "exec <&-; echo a"}, std::string(1'000'000, '\n')).output,
            "a\n");
}

TEST(ChildProcessTest, WhatCannotBeRunIsTold) {
  const auto none = ChildProcess::Start({"no-such-program-here"}, [] {});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().status, 127);
  EXPECT_THAT(none.error().what, testing::HasSubstr("'no-such-program-here' is not found"));
  const auto folder = ChildProcess::Start({"/"}, [] {});
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().status, 126);
}

}  // namespace
}  // namespace sluicegate::pipe
