// Predecessor: the process of the program that started this one to take its place (SIGUSR2): hands
// its listening sockets down and waits for word. Bound to one thread. Owns what was handed down and
// closes what nobody took.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "handover/handed_doors.h"
#include "net/file_descriptor.h"
#include "policy/settings.h"

namespace sluicegate::handover {

class Predecessor {
 public:
  /// Reads SLUICEGATE_LISTENERS and removes it. REQUIRES: no other thread runs yet.
  [[nodiscard]] static Predecessor FromEnvironment();

  /// Whether there is one.
  [[nodiscard]] bool waits() const noexcept { return ready_.is_open(); }

  /// The sockets of a door that was asked for at `endpoint`, each of which listens there and does
  /// not block. Empty: none was handed down. Doors of one address are told in their order.
  [[nodiscard]] std::vector<net::FileDescriptor> Take(std::string_view door,
                                                      const policy::Endpoint& endpoint);
  /// This process serves: the other one may go. Closes what nobody took. Nothing without one.
  void TellReady();
  /// This process does not, and why. Nothing without one, or after TellReady.
  void TellFailure(std::span<const std::string> reasons);

 private:
  struct Door {
    std::string name;
    std::string address;
    std::vector<net::FileDescriptor> sockets;
  };

  Predecessor() = default;
  void Tell(const std::string& words);

  std::vector<Door> doors_;
  net::FileDescriptor ready_;
};

}  // namespace sluicegate::handover
