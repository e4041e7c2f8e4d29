// Snapshot: what a reader sees, and when; with many threads, for ThreadSanitizer to watch.
#include "base/snapshot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace sluicegate {
namespace {

using Text = Snapshot<std::string>;

TEST(Snapshot, AReaderBeginsWithTheCurrentValue) {
  Text text(std::make_shared<std::string>("one"));
  EXPECT_EQ(*Text::Reader(text), "one");
  text.Publish(std::make_shared<std::string>("two"));
  EXPECT_EQ(*Text::Reader(text), "two");
}

TEST(Snapshot, AReaderSeesWhatIsPublishedAfterItsNextRefresh) {
  Text text(std::make_shared<std::string>("one"));
  Text::Reader reader(text);
  text.Publish(std::make_shared<std::string>("two"));
  EXPECT_EQ(*reader, "one");
  EXPECT_EQ(*text.Get(), "two");
  reader.Refresh();
  EXPECT_EQ(*reader, "two");
  EXPECT_EQ(reader->size(), 3U);
}

TEST(Snapshot, ARefreshWithoutNewsKeepsTheSameObject) {
  Text text(std::make_shared<std::string>("one"));
  Text::Reader reader(text);
  const std::string* before = reader.ptr().get();
  reader.Refresh();
  EXPECT_EQ(reader.ptr().get(), before);
}

TEST(Snapshot, OfSeveralPublishedValuesAReaderSeesTheLast) {
  Text text(std::make_shared<std::string>("one"));
  Text::Reader reader(text);
  text.Publish(std::make_shared<std::string>("two"));
  text.Publish(std::make_shared<std::string>("three"));
  reader.Refresh();
  EXPECT_EQ(*reader, "three");
}

TEST(Snapshot, AnOldValueLivesAsLongAsAReaderHoldsIt) {
  auto first = std::make_shared<std::string>("one");
  const std::weak_ptr<std::string> watch = first;
  Text text(std::move(first));
  Text::Reader a(text);
  Text::Reader b(text);
  text.Publish(std::make_shared<std::string>("two"));
  a.Refresh();
  EXPECT_FALSE(watch.expired());
  b.Refresh();
  EXPECT_TRUE(watch.expired());
}

// Readers never see a value that is half written, or one older than they saw before, and all end
// with the last.
TEST(Snapshot, ManyThreadsReadWhileOnesPublish) {
  struct Pair {
    std::uint64_t number;
    std::uint64_t inverse;
  };
  constexpr std::uint64_t kLast = 20'000;
  constexpr unsigned kReaders = 4;
  const auto pair = [](std::uint64_t n) {
    return std::make_shared<const Pair>(Pair{.number = n, .inverse = ~n});
  };
  Snapshot<Pair> snapshot(pair(0));
  std::atomic<unsigned> ready = 0;
  std::atomic<unsigned> faults = 0;
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < kReaders; ++i) {
    readers.emplace_back([&, i] {
      Snapshot<Pair>::Reader reader(snapshot);
      ready.fetch_add(1);
      for (std::uint64_t seen = 0; seen < kLast;) {
        reader.Refresh();
        const Pair now = i == 0 ? *snapshot.Get() : *reader;  // One reads by the lock.
        if (now.inverse != ~now.number || now.number < seen) faults.fetch_add(1);
        seen = now.number;
      }
    });
  }
  while (ready.load() < kReaders) std::this_thread::yield();
  for (std::uint64_t n = 1; n <= kLast; ++n) snapshot.Publish(pair(n));
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(faults.load(), 0U);
}

}  // namespace
}  // namespace sluicegate
