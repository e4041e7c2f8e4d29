// HandedDoors: listening sockets that one process of the program hands down to the next, as a text
// in the environment (SLUICEGATE_LISTENERS) names them. Value types; everything here is pure.
//
//   gateway 127.0.0.1:8080 3,4;admin 127.0.0.1:9180 5;ready 6
//
// An address is as it was asked for: with port 0 where the system chose.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluicegate::handover {

struct HandedDoor {
  std::string name;     ///< "gateway" or "admin".
  std::string address;  ///< ADDRESS:PORT.
  std::vector<int> descriptors;
  friend bool operator==(const HandedDoor&, const HandedDoor&) = default;
};

struct HandedDoors {
  std::vector<HandedDoor> doors;
  int ready = -1;  ///< Where the next process says that it serves, or why it does not.
  friend bool operator==(const HandedDoors&, const HandedDoors&) = default;

  /// The environment variable.
  static constexpr const char* kVariable = "SLUICEGATE_LISTENERS";

  [[nodiscard]] std::string Text() const;
  /// Nothing where `text` is not of this form, longer than 64 KiB, or names a descriptor twice or
  /// one below 3.
  [[nodiscard]] static std::optional<HandedDoors> Parse(std::string_view text);
};

}  // namespace sluicegate::handover
