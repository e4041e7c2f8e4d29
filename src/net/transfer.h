// Transfer: what came of reading or writing bytes. A value type.
#pragma once

#include <cstddef>

namespace sluicegate::net {

/// Of errno's values, and these.
inline constexpr int kNoError = 0;
inline constexpr int kEndOfStream = -1;  ///< The peer sends no more.
inline constexpr int kBrokenTls = -2;    ///< What came is no TLS, or cannot be trusted.

struct Transfer {
  std::size_t bytes = 0;
  int error = kNoError;  ///< EAGAIN: it has to wait. ECANCELED: the wait was ended.
};

}  // namespace sluicegate::net
