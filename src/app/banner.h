// The banner: what a newcomer sees first, three lines to paste among it. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "policy/policy.h"

namespace sluicegate::app {

struct BannerFacts {
  std::string gateway;                  ///< http://ADDRESS:PORT, as a client can reach it.
  std::string admin;                    ///< http://ADDRESS:PORT; empty: no admin door.
  std::string upstream;                 ///< Its servers, like http://HOST:PORT.
  bool demo = false;                    ///< The upstream is the demo server.
  std::string policy;                   ///< The file's name; empty: the built-in policy.
  std::uint64_t requests_to_limit = 0;  ///< A loop of so many is limited; 0: nothing limits.
};

/// How many `GET /` sent at once by a client on this machine are sure to be limited, with some to
/// spare for what comes back meanwhile; 0: none are, or more than anyone would wait for.
[[nodiscard]] std::uint64_t RequestsToLimit(const policy::Policy& policy);

[[nodiscard]] std::string Banner(const BannerFacts& facts);

}  // namespace sluicegate::app
