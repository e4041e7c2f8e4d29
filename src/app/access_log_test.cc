#include "app/access_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "app/access_file.h"
#include "base/temporary_folder_for_test.h"

namespace sluicegate::app {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

gateway::AccessRecord RecordOf(const std::string& path) {
  gateway::AccessRecord record;
  record.method = "GET";
  record.path = path;
  record.status = 200;
  return record;
}

/// What a log tells: paths in their order, and how many lines it says are lost.
struct Told {
  std::vector<std::string> paths;
  std::uint64_t lost = 0;
};

Told Parse(const std::string& text) {
  Told told;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_discarded()) {
      ADD_FAILURE() << "no JSON: " << line;
    } else if (json.contains("lost")) {
      told.lost += json["lost"].get<std::uint64_t>();
    } else {
      told.paths.push_back(json["path"]);
    }
  }
  return told;
}

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() { std::signal(SIGPIPE, SIG_IGN); }

  AccessLog::Options Options(std::size_t most_bytes = AccessLog::kMostBytes) {
    return {.names = {},
            .warn =
                [this](const std::string& line) {
                  const std::lock_guard lock(mu_);
                  warnings_.push_back(line);
                },
            .most_bytes = most_bytes};
  }
  [[nodiscard]] std::string PathOf(const std::string& name) const {
    return (folder_.path() / name).string();
  }
  static std::shared_ptr<AccessFile> Open(const std::string& path) {
    auto file = AccessFile::Open(path);
    EXPECT_TRUE(file) << file.error();
    return file ? *file : nullptr;
  }

  TemporaryFolder folder_;
  std::mutex mu_;
  std::vector<std::string> warnings_;  // Guarded by mu_.
};

TEST_F(AccessLogTest, LinesAreAppendedInTheirOrder) {
  const std::string path = PathOf("access");
  for (const char* run : {"/first", "/second"}) {
    AccessLog log(Options());
    log.Use(Open(path));
    for (int i = 0; i < 3; ++i) log.Note(RecordOf(run + std::to_string(i)));
  }
  const Told told = Parse(ReadAll(path));
  EXPECT_THAT(told.paths,
              ElementsAre("/first0", "/first1", "/first2", "/second0", "/second1", "/second2"));
  EXPECT_EQ(told.lost, 0);
}

TEST_F(AccessLogTest, TheFileIsNobodyElses) {
  const mode_t mask = ::umask(0);
  Open(PathOf("access"));
  ::umask(mask);
  struct stat about{};
  ASSERT_EQ(::stat(PathOf("access").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777U, 0640U);
}

TEST_F(AccessLogTest, ARotatedFileGetsWhatWasNotedBefore) {
  {
    AccessLog log(Options());
    log.Use(Open(PathOf("access")));
    log.Note(RecordOf("/old"));
    std::filesystem::rename(PathOf("access"), PathOf("access.1"));
    log.Use(Open(PathOf("access")));
    log.Note(RecordOf("/new"));
    EXPECT_EQ(log.lost(), 0);
  }
  EXPECT_THAT(Parse(ReadAll(PathOf("access.1"))).paths, ElementsAre("/old"));
  EXPECT_THAT(Parse(ReadAll(PathOf("access"))).paths, ElementsAre("/new"));
}

TEST_F(AccessLogTest, WhereItIsOffNothingIsWrittenNorLost) {
  AccessLog log(Options());
  log.Note(RecordOf("/before"));
  log.Use(nullptr);
  log.Note(RecordOf("/before"));
  log.Use(Open(PathOf("access")));
  log.Note(RecordOf("/on"));
  log.Use(nullptr);
  log.Note(RecordOf("/after"));
  while (ReadAll(PathOf("access")).empty()) std::this_thread::yield();
  EXPECT_THAT(Parse(ReadAll(PathOf("access"))).paths, ElementsAre("/on"));
  EXPECT_EQ(log.lost(), 0);
}

TEST_F(AccessLogTest, ThreadsTogetherLoseNothingThatFits) {
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  {
    AccessLog log(Options());
    log.Use(Open(PathOf("access")));
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < kEach; ++i) log.Note(RecordOf("/" + std::to_string(t)));
      });
    }
  }
  EXPECT_THAT(Parse(ReadAll(PathOf("access"))).paths, SizeIs(kThreads * kEach));
}

// A pipe that nobody reads for a while: what finds no room is counted, in the metric and in a line.
TEST_F(AccessLogTest, AReaderThatIsBehindLosesLinesAndIsTold) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  constexpr std::uint64_t kNoted = 2'000;
  std::string text;
  std::uint64_t lost = 0;
  std::jthread reader;
  {
    AccessLog log(Options(8 * 1024));
    log.Use(std::make_shared<AccessFile>("a pipe", net::FileDescriptor(ends[1])));
    for (std::uint64_t i = 0; i < kNoted; ++i) log.Note(RecordOf("/x"));
    lost = log.lost();
    EXPECT_GT(lost, 0);
    reader = std::jthread([&text, end = ends[0]] {
      char bytes[4096];
      for (ssize_t got = 0; (got = ::read(end, bytes, sizeof(bytes))) > 0;) {
        text.append(bytes, static_cast<std::size_t>(got));
      }
      ::close(end);
    });
  }
  reader.join();
  const Told told = Parse(text);
  EXPECT_EQ(told.lost, lost);
  EXPECT_EQ(told.paths.size() + told.lost, kNoted);
  EXPECT_THAT(warnings_, IsEmpty()) << "a slow reader is no fault of the file";
}

TEST_F(AccessLogTest, AReaderThatNeverReadsDoesNotKeepTheProgramFromEnding) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  {
    AccessLog log(Options(256 * 1024));
    log.Use(std::make_shared<AccessFile>("a pipe", net::FileDescriptor(ends[1])));
    for (int i = 0; i < 1'000; ++i) log.Note(RecordOf("/x"));
  }
  ::close(ends[0]);
}

TEST_F(AccessLogTest, AFullDiskIsToldOnceAndItsLinesAreCounted) {
  std::uint64_t lost = 0;
  {
    AccessLog log(Options());
    log.Use(Open("/dev/full"));
    log.Note(RecordOf("/a"));
    log.Note(RecordOf("/b"));
    while (log.lost() < 2) std::this_thread::yield();
    log.Note(RecordOf("/c"));
    while (log.lost() < 3) std::this_thread::yield();
    lost = log.lost();
    log.Use(Open(PathOf("access")));  // The mend.
    log.Note(RecordOf("/d"));
  }
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("/dev/full takes no lines"),
                                           HasSubstr("No space left on device"))));
  const Told told = Parse(ReadAll(PathOf("access")));
  EXPECT_EQ(told.lost, lost);
  EXPECT_THAT(told.paths, ElementsAre("/d"));
}

TEST_F(AccessLogTest, AReaderThatLeftIsTold) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  AccessLog log(Options());
  log.Use(std::make_shared<AccessFile>("a pipe", net::FileDescriptor(ends[1])));
  log.Note(RecordOf("/a"));
  while (log.lost() < 1) std::this_thread::yield();
  const std::lock_guard lock(mu_);
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("Broken pipe")));
}

TEST_F(AccessLogTest, WhatCannotBeOpenedIsSaidWithTheMend) {
  const auto why = [](const std::string& path) {
    const auto file = AccessFile::Open(path);
    return file ? std::string() : file.error();
  };
  EXPECT_THAT(why(PathOf("none/access")), AllOf(HasSubstr("No such file"), HasSubstr("folder")));
  EXPECT_THAT(why(folder_.path().string()), HasSubstr("name a file in it"));
  ASSERT_EQ(::mkfifo(PathOf("pipe").c_str(), 0600), 0);
  EXPECT_THAT(why(PathOf("pipe")), HasSubstr("start its reader first"));
  EXPECT_EQ(Open(""), nullptr);
  EXPECT_EQ(Open("-")->name(), "standard output");
}

}  // namespace
}  // namespace sluicegate::app
