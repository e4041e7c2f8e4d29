// MapReader: takes a YAML map apart, key by key, and tells what does not belong there. Bound to one
// load; the node and the list of mistakes outlive it.
#pragma once

#include <yaml-cpp/yaml.h>

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "policy/config.h"

namespace sluicegate::config {

using MistakeList = std::vector<policy::Mistake>;

/// Where a node begins, counted from 1.
[[nodiscard]] policy::Position PositionOf(const YAML::Node& node);

class MapReader {
 public:
  /// `what` names the map in messages ("a rule"). A node that is not a map is a mistake, and then
  /// every key is absent.
  MapReader(const YAML::Node& node, std::string_view what, std::span<const std::string_view> known,
            MistakeList& mistakes);

  /// A scalar's text; nullopt if the key is absent.
  [[nodiscard]] policy::MaybeText Scalar(std::string_view key) const;
  /// A list of scalars; one alone is a list of one.
  [[nodiscard]] std::vector<policy::Text> List(std::string_view key) const;
  [[nodiscard]] bool Has(std::string_view key) const { return static_cast<bool>(Child(key)); }
  /// Calls `read` with the child, if there is one.
  void With(std::string_view key, const std::function<void(const YAML::Node&)>& read) const;
  /// Whether a value that is no list stands for a list of one.
  enum Lone : bool { kRefused, kOneAlone };
  /// Calls `read` with each element of a list; a child that is no list is a mistake, or one alone.
  void ForEach(std::string_view key, const std::function<void(const YAML::Node&)>& read,
               Lone lone = kRefused) const;

 private:
  [[nodiscard]] YAML::Node Child(std::string_view key) const;

  YAML::Node node_;
  MistakeList& mistakes_;
};

/// A scalar node's text; a mistake if it is a map or a list.
[[nodiscard]] policy::MaybeText ScalarOf(const YAML::Node& node, std::string_view what,
                                         MistakeList& mistakes);

}  // namespace sluicegate::config
