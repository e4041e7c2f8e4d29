// AccessLog: a line for each request, written by a thread of its own, so that a request never waits
// for a disk or a reader. Where that thread is behind, lines are lost and counted.
//
// Thread-safe, but for Use.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "app/access_file.h"
#include "app/pseudonyms.h"
#include "gateway/access_record.h"

namespace sluicegate::app {

class AccessLog {
 public:
  /// Bytes of lines that wait. As many again are on their way to the file, and to each that was
  /// before and has not taken its own yet.
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20U;

  struct Options {
    Pseudonyms names;
    /// For people: the file does not take lines. Called by the thread of the log, at most once a
    /// minute.
    std::function<void(const std::string& line)> warn;
    std::size_t most_bytes = kMostBytes;
  };
  explicit AccessLog(Options options);
  /// Writes what waits first, or gives up where the file takes nothing for a second.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  /// From now on to this file; null: nowhere. What was noted before goes to the one of before.
  /// Bound to one thread. Starts the log's thread where it is needed for the first time.
  void Use(std::shared_ptr<AccessFile> file);

  /// Formats a line and leaves; the lock is held for the time of a copy.
  void Note(const gateway::AccessRecord& record);

  /// Lines that were not written.
  [[nodiscard]] std::uint64_t lost() const noexcept {
    return lost_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kMostSwitches = 4;  // That wait; beyond it the last is replaced.
  // A file that takes the place of another, and the lines for that one.
  struct Switch {
    std::string lines;
    std::shared_ptr<AccessFile> next;
  };
  // What the thread took over to write.
  struct Batch {
    std::string lines;
    std::uint64_t dropped = 0;  // Lines that are missing behind them.
    bool switches = false;      // What comes after them goes to `next`.
    std::shared_ptr<AccessFile> next;
  };

  void Run();
  [[nodiscard]] bool Take(Batch& batch);
  void Write(const Batch& batch);
  // Writes the end of a line that was begun, and the line that tells of others. False: the file
  // takes no more.
  [[nodiscard]] bool Finish();
  [[nodiscard]] bool TellLost();
  [[nodiscard]] std::size_t WriteSome(std::string_view text);
  // Counts its lines as lost, and says how many they are.
  std::uint64_t Lose(std::string_view text);
  void Complain(int error);

  const Options options_;
  std::atomic<std::uint64_t> lost_{0};

  std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  std::string waiting_;
  std::uint64_t dropped_ = 0;     // Lines that found no room, and no line tells of yet.
  std::vector<Switch> switches_;  // In their order.
  bool on_ = false;
  bool stopping_ = false;

  // The thread's own.
  std::shared_ptr<AccessFile> file_;
  std::string rest_;             // Of a line that was begun: else the next would stand within it.
  std::uint64_t unwritten_ = 0;  // Lines that the file did not take, and no line tells of yet.
  std::chrono::steady_clock::time_point complained_{};
  bool complains_ = false;  // It did before.
  bool hurries_ = false;    // The program stops.

  std::thread thread_;
};

}  // namespace sluicegate::app
