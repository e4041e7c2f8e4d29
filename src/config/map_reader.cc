#include "config/map_reader.h"

#include <algorithm>
#include <map>
#include <string>

#include "policy/words.h"

namespace sluicegate::config {
namespace {

using policy::MaybeText;
using policy::Position;
using policy::Quoted;
using policy::Text;

}  // namespace

Position PositionOf(const YAML::Node& node) {
  const YAML::Mark mark = node.Mark();
  if (mark.is_null()) return {};
  return {.line = static_cast<std::uint32_t>(mark.line + 1),
          .column = static_cast<std::uint32_t>(mark.column + 1)};
}

MaybeText ScalarOf(const YAML::Node& node, std::string_view what, MistakeList& mistakes) {
  if (node.IsScalar()) return Text{.value = node.Scalar(), .at = PositionOf(node)};
  const std::string_view instead = node.IsNull() ? "empty" : node.IsMap() ? "a map" : "a list";
  mistakes.push_back({.at = PositionOf(node),
                      .what = std::string(what) + " is " + std::string(instead) + ".",
                      .mend = "Write one value."});
  return std::nullopt;
}

MapReader::MapReader(const YAML::Node& node, std::string_view what,
                     std::span<const std::string_view> known, MistakeList& mistakes)
    : node_(node), mistakes_(mistakes) {
  if (!node.IsMap()) {
    mistakes.push_back(
        {.at = PositionOf(node),
         .what = std::string(what) + " is no map.",
         .mend = "Write keys and values, like " + std::string(known.front()) + ": ..., in it."});
    node_.reset(YAML::Node(YAML::NodeType::Map));
    return;
  }
  std::map<std::string, Position> seen;
  for (const auto& entry : node) {
    const MaybeText key = ScalarOf(entry.first, "The key", mistakes);
    if (!key) continue;
    const auto [first, fresh] = seen.emplace(key->value, key->at);
    if (!fresh) {
      mistakes.push_back({.at = key->at,
                          .what = Quoted(key->value) + " stands here twice; the first is in line " +
                                  std::to_string(first->second.line) + ".",
                          .mend = "Remove one of them."});
    } else if (std::ranges::find(known, key->value) == known.end()) {
      mistakes.push_back({.at = key->at,
                          .what = std::string(what) + " has no key " + Quoted(key->value) + ".",
                          .mend = policy::Suggest(key->value, known)});
    }
  }
}

YAML::Node MapReader::Child(std::string_view key) const {
  // A look-up in a const node adds nothing to it.
  const YAML::Node& constant = node_;
  const YAML::Node child = constant[std::string(key)];
  return child.IsDefined() ? child : YAML::Node(YAML::NodeType::Undefined);
}

MaybeText MapReader::Scalar(std::string_view key) const {
  const YAML::Node child = Child(key);
  if (!child.IsDefined()) return std::nullopt;
  return ScalarOf(child, key, mistakes_);
}

std::vector<Text> MapReader::List(std::string_view key) const {
  std::vector<Text> texts;
  const YAML::Node child = Child(key);
  if (!child.IsDefined()) return texts;
  if (!child.IsSequence()) {
    if (auto text = ScalarOf(child, key, mistakes_)) texts.push_back(std::move(*text));
    return texts;
  }
  for (const YAML::Node& element : child) {
    if (auto text = ScalarOf(element, key, mistakes_)) texts.push_back(std::move(*text));
  }
  return texts;
}

void MapReader::With(std::string_view key,
                     const std::function<void(const YAML::Node&)>& read) const {
  const YAML::Node child = Child(key);
  if (child.IsDefined()) read(child);
}

void MapReader::ForEach(std::string_view key, const std::function<void(const YAML::Node&)>& read,
                        Lone lone) const {
  const YAML::Node child = Child(key);
  if (!child.IsDefined()) return;
  if (lone == kOneAlone && (child.IsScalar() || child.IsMap())) return read(child);
  if (!child.IsSequence()) {
    mistakes_.push_back(
        {.at = PositionOf(child),
         .what = std::string(key) + " is no list.",
         .mend = "Write [ ... ], or each element on a line of its own behind a dash."});
    return;
  }
  for (const YAML::Node& element : child) read(element);
}

}  // namespace sluicegate::config
