// WindowCounts: how often each key was counted in its window. There is no quota in it: whoever asks
// reads the count back and compares, as the strategies of Python's `limits` do.
//
// A window begins with the first count of its key, not at an edge of the clock. There are two
// kinds, which count apart: a *fixed* window; and a *sliding* one, where the window before counts
// as well, by the share of it that is not longer ago than a window. Their bounds are in
// doc/algorithms.md, "Counters of windows".
//
// Memory is fixed, 32 bytes a key. In a bucket full of running windows the key with the lowest
// count gives way, of equals the one whose window ends first, and starts afresh. By the count, as
// nobody here knows a quota: who wants to push a key out has to count the others of its bucket,
// which a secret hash chooses, at least as often.
//
// Thread-safe; in a file for processes, too. Owns its table; neither copies nor moves. Time is an
// argument: a reading of clock().
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/siphash.h"
#include "engine/time_keeper.h"
#include "limit/saturating.h"
#include "sluicegate/limiter_options.h"
#include "table/state_file.h"
#include "table/table.h"

namespace sluicegate::engine {

class WindowCounts {
 public:
  /// As a limiter's; a penalty means nothing. Of a name that a living process has in the file
  /// already, the memory is that one's. The error says which option is wrong, or what of the file.
  [[nodiscard]] static std::expected<std::unique_ptr<WindowCounts>, std::string> Create(
      const LimiterOptions& options);
  WindowCounts(const WindowCounts&) = delete;
  WindowCounts& operator=(const WindowCounts&) = delete;

  /// That of the options, or the file's by it.
  [[nodiscard]] const Clock& clock() const noexcept { return clock_; }

  /// Of a key that a stopped process holds: a count above every quota, for a second; or, with
  /// `fails_open`, none.
  static constexpr std::uint64_t kUnknown = limit::kMaxU64;

  /// A fixed window as it stands. A value type.
  struct Count {
    std::uint64_t count = 0;
    std::uint64_t left_ns = 0;  ///< Of the window; 0: none is running.
  };
  struct Fixed {
    std::uint64_t window_ns = 0;  ///< REQUIRES: above 0.
    bool elastic = false;         ///< Each count lets the window last for all its length again.
  };
  /// Counts `amount` more, whatever the count is; as it stands then. An amount of 0 reads, and
  /// begins no window.
  Count Add(std::string_view key, std::uint64_t amount, Fixed window, Now now) noexcept;
  [[nodiscard]] Count Read(std::string_view key, Now now) noexcept;
  /// False, here and below: a stopped process holds the key.
  bool Forget(std::string_view key) noexcept;

  /// A sliding window as it stands. A value type.
  struct Pair {
    std::uint64_t before = 0;   ///< In the window before.
    std::uint64_t count = 0;    ///< In the one that is running.
    std::uint64_t left_ns = 0;  ///< Of that; 0: neither counts.

    /// floor(before x left / window) + count.
    [[nodiscard]] std::uint64_t Weighted(std::uint64_t window_ns) const noexcept;
  };
  struct Sliding {
    std::uint64_t window_ns = 0;  ///< REQUIRES: above 0. A key has a counter for each length.
    std::uint64_t quota = 0;
  };
  /// Counts `amount` more if the weighted count is at most the quota then, and says whether it did.
  bool Acquire(std::string_view key, std::uint64_t amount, Sliding window, Now now) noexcept;
  [[nodiscard]] Pair ReadPair(std::string_view key, std::uint64_t window_ns, Now now) noexcept;
  bool ForgetPair(std::string_view key, std::uint64_t window_ns) noexcept;

  /// Forgets all keys; how many were counted in running windows. See table::Table::Clear.
  std::uint64_t ForgetAll(Now now) noexcept;

  [[nodiscard]] std::uint64_t capacity() const noexcept { return table_->capacity(); }
  /// As given, in whole buckets; or as it was in the file.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return table_->bytes(); }
  /// Keys in running windows that gave way.
  [[nodiscard]] std::uint64_t evictions() const noexcept { return table_->counts().evictions; }
  /// False: its file is not where it was, so who starts now counts apart; or it was cut short.
  [[nodiscard]] bool IsInPlace() const noexcept {
    return file_ == nullptr || (file_->LiesAt(file_->path()) && file_->IsWhole());
  }

  /// What a region of a file holds. A value type.
  struct Contents {
    std::uint64_t live = 0;  ///< Keys in running windows.
    std::uint64_t capacity = 0;
    std::uint64_t evictions = 0;
  };
  /// Nothing: it is of another kind.
  [[nodiscard]] static std::optional<Contents> LookInto(const table::StateFile::Region& region,
                                                        table::Owners& owners, Now now);

 private:
  WindowCounts(const LimiterOptions& options, std::shared_ptr<table::StateFile> file);
  [[nodiscard]] std::uint64_t HashOf(std::string_view key, std::uint64_t window_ns) const noexcept;
  [[nodiscard]] bool Vacate(std::uint64_t hash) noexcept;
  void KeepTime(Now now) noexcept {
    if (file_ != nullptr) time_keeper_.Keep(*file_, now);
  }

  // Constant after construction, or thread-safe.
  const std::shared_ptr<table::StateFile> file_;  // Null: in memory. Outlives the table.
  const bool fails_open_;
  const Clock& machine_clock_;
  const std::unique_ptr<const Clock> state_clock_;  // Null: in memory.
  const Clock& clock_;
  const SipHasher hasher_;  // Of no bytes yet; each key goes into a copy.
  std::unique_ptr<table::Table> table_;
  TimeKeeper time_keeper_;
};

}  // namespace sluicegate::engine
