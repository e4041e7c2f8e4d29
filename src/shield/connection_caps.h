// ConnectionCaps: how many connections one client has open, and how fast it opens them, for all
// loops of a process together. Thread-safe. Owns its memory: fixed, taken at construction.
//
// The system spreads a client's connections over the loops (SO_REUSEPORT), so there is one of this
// and every loop asks it. It holds no configuration: the terms come with each call, so a reload
// changes them and keeps every count.
//
// A client is an IPv4 address or an IPv6 /64. It has an entry while it has connections open or owes
// for those that it opened within the last second; any other entry is free, so nothing is swept and
// nothing live is ever evicted. Clients are told apart by 64 bits of a keyed hash: among as many as
// there are entries two are one with a chance below 2^-32.
//
// A client that finds its window of entries full is counted with its network (/24 of IPv4, /48 of
// IPv6), which has kNetworkFactor times the terms. Networks have cells of their own, which are
// never full: two that fall into one cell share it. So a flood from more clients than there are
// entries binds newcomers more tightly, never less, and touches nobody who has an entry.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/ip.h"
#include "base/siphash.h"
#include "limit/token_bucket.h"
#include "sluicegate/time.h"

namespace sluicegate::shield {

/// What one client may have. A value type.
class ConnectionTerms {
 public:
  /// What a rate may be at most; a larger one counts as it.
  static constexpr std::uint32_t kMostPerSecond = 1'000'000;

  ConnectionTerms() noexcept = default;  ///< No bounds.
  /// `open` at once; `new_per_second` opened in a second, as many as that in a burst. 0: no bound.
  ConnectionTerms(std::uint32_t open, std::uint32_t new_per_second) noexcept;

  [[nodiscard]] std::uint32_t open() const noexcept { return open_; }
  [[nodiscard]] bool bounds_rate() const noexcept { return bounds_rate_; }
  [[nodiscard]] bool none() const noexcept { return open_ == 0 && !bounds_rate_; }
  /// REQUIRES: bounds_rate().
  [[nodiscard]] const limit::TokenBucket& rate() const noexcept { return rate_; }
  /// The same so many times over. REQUIRES: factor > 0.
  [[nodiscard]] ConnectionTerms Times(std::uint32_t factor) const noexcept;

 private:
  std::uint32_t open_ = 0;
  std::uint32_t new_per_second_ = 0;
  bool bounds_rate_ = false;
  limit::TokenBucket rate_;
};

class ConnectionCaps {
 public:
  static constexpr std::size_t kEntries = 256;  ///< Of a shard.
  /// Entries that a client's may be among: 256 bytes of hashes to look at. While half of all are
  /// taken every newcomer finds one; at three quarters one in forty does not.
  static constexpr std::size_t kWindow = 32;
  static constexpr std::size_t kNetworks = 16;  ///< Cells of networks, of a shard.
  static constexpr std::uint32_t kNetworkFactor = 4;
  /// 65,536 clients and 4,096 networks in 1.4 MiB.
  static constexpr std::size_t kDefaultShards = 256;

  /// Where a connection is counted; it stays valid until it is released. A value type.
  class Place {
   public:
    Place() noexcept = default;  ///< Nowhere.
    [[nodiscard]] bool counted() const noexcept { return cell_ != kNowhere; }

   private:
    friend class ConnectionCaps;
    static constexpr std::uint32_t kNowhere = ~std::uint32_t{0};
    explicit Place(std::uint32_t cell) noexcept : cell_(cell) {}
    std::uint32_t cell_ = kNowhere;
  };

  enum class Verdict : std::uint8_t {
    kAdmitted,
    kTooMany,  ///< The client has as many open as it may.
    kTooFast,  ///< It opened as many within a second as it may.
  };
  struct Admission {
    Verdict verdict = Verdict::kAdmitted;
    Place place = {};  ///< Admitted: to be released when the connection is closed.
  };

  /// REQUIRES: `shards` is a power of two, at most 65,536.
  explicit ConnectionCaps(const HashSecret& secret, std::size_t shards = kDefaultShards);
  ConnectionCaps(const ConnectionCaps&) = delete;
  ConnectionCaps& operator=(const ConnectionCaps&) = delete;

  /// Counts a connection that was opened, if the client may have it; one that is refused changes
  /// nothing. Without bounds nothing is counted. Time that runs backwards only makes it stricter.
  [[nodiscard]] Admission Admit(const IpAddress& client, const ConnectionTerms& terms,
                                Now now) noexcept;
  /// The connection is closed. REQUIRES: `place` is of an admission, and was not released.
  void Release(Place place) noexcept;

  /// Connections that were admitted with their network, as their client found no entry.
  [[nodiscard]] std::uint64_t crowded() const noexcept {
    return crowded_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kCells = kEntries + kNetworks;

  struct alignas(64) Shard {
    std::mutex mu;
    // Guarded by mu. A cell with none open and no debt is free. Networks' cells are the last ones.
    std::array<std::uint64_t, kEntries> clients{};  // Hashes.
    std::array<std::uint64_t, kCells> tats_ns{};    // Of the token bucket.
    std::array<std::uint32_t, kCells> open{};
  };

  /// The client's entry, a free one, or kCells: every one of its window is somebody else's.
  [[nodiscard]] static std::size_t FindEntry(const Shard& shard, std::uint64_t hash,
                                             std::uint64_t now_ns) noexcept;
  [[nodiscard]] static Verdict Charge(Shard& shard, std::size_t cell, const ConnectionTerms& terms,
                                      std::uint64_t now_ns) noexcept;
  [[nodiscard]] Admission AdmitNetwork(const IpAddress& client, const ConnectionTerms& terms,
                                       std::uint64_t now_ns) noexcept;
  [[nodiscard]] Shard& ShardOf(std::uint64_t hash) noexcept { return shards_[hash & mask_]; }
  [[nodiscard]] Place PlaceOf(const Shard& shard, std::size_t cell) const noexcept;

  // Constant after construction.
  const HashSecret secret_;
  const std::size_t mask_;
  const std::unique_ptr<Shard[]> shards_;

  std::atomic<std::uint64_t> crowded_ = 0;
};

}  // namespace sluicegate::shield
