#include "base/siphash.h"

#include <sys/random.h>

#include <cstdlib>

namespace sluicegate {

HashSecret HashSecret::Random() noexcept {
  HashSecret secret;
  // Up to 256 bytes come whole or not at all.
  if (::getrandom(&secret, sizeof(secret), 0) != sizeof(secret)) std::abort();
  return secret;
}

}  // namespace sluicegate
