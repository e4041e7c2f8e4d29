// Pseudonyms: what logs call a key by: the same for one key while the program runs, telling nothing
// of it, nor of where the tables hold it. A value type: its copies give the same names. Immutable,
// so thread-safe.
#pragma once

#include <cstdint>

#include "base/siphash.h"

namespace sluicegate::app {

class Pseudonyms {
 public:
  /// To be written as eight hex digits. The hash is hashed once more, as it names a bucket.
  [[nodiscard]] std::uint32_t Of(std::uint64_t key_hash) const noexcept {
    SipHasher hasher(secret_);
    hasher.UpdateU64(key_hash);
    return static_cast<std::uint32_t>(hasher.Finish());
  }

 private:
  HashSecret secret_ = HashSecret::Random();
};

}  // namespace sluicegate::app
