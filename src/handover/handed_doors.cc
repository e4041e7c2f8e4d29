#include "handover/handed_doors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

namespace sluicegate::handover {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} * 1024;

// The part before the next `separator`, which is taken off `text`.
std::string_view Cut(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

std::optional<int> ReadDescriptor(std::string_view text) {
  constexpr int kFirst = 3;  // Behind the standard ones.
  int descriptor = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), descriptor);
  if (error != std::errc() || end != text.data() + text.size() || descriptor < kFirst) return {};
  return descriptor;
}

std::optional<std::vector<int>> ReadDescriptors(std::string_view text, std::set<int>& named) {
  std::vector<int> descriptors;
  do {
    const std::optional<int> descriptor = ReadDescriptor(Cut(text, ','));
    if (!descriptor || !named.insert(*descriptor).second) return {};
    descriptors.push_back(*descriptor);
  } while (!text.empty());
  return descriptors;
}

}  // namespace

std::string HandedDoors::Text() const {
  std::string text;
  for (const HandedDoor& door : doors) {
    text += fmt::format("{} {} {};", door.name, door.address, fmt::join(door.descriptors, ","));
  }
  return text + fmt::format("ready {}", ready);
}

std::optional<HandedDoors> HandedDoors::Parse(std::string_view text) {
  if (text.size() > kMostBytes) return {};
  HandedDoors handed;
  std::set<int> named;
  while (!text.empty()) {
    std::string_view entry = Cut(text, ';');
    const std::string_view name = Cut(entry, ' ');
    if (name == "ready") {
      auto ready = ReadDescriptors(entry, named);
      if (!ready || ready->size() != 1 || !text.empty()) return {};
      handed.ready = ready->front();
      return handed;
    }
    const std::string_view address = Cut(entry, ' ');
    auto descriptors = ReadDescriptors(entry, named);
    if (name.empty() || address.empty() || !descriptors) return {};
    handed.doors.push_back({.name = std::string(name),
                            .address = std::string(address),
                            .descriptors = *std::move(descriptors)});
  }
  return {};  // Without "ready" it was cut short.
}

}  // namespace sluicegate::handover
