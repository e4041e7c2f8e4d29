#include "pipe/held_places.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluicegate::pipe {
namespace {

using nlohmann::json;

// Of an object; null: there is none.
const json& MemberOf(const json& value, const char* name) {
  static const json none;
  const auto found = value.is_object() ? value.find(name) : value.end();
  return found == value.end() ? none : *found;
}

std::string IdText(const json& id) {
  constexpr double kMostExact = 9'007'199'254'740'992;  // 2^53
  if (id.is_number_float()) {
    const double number = id.get<double>();
    if (std::abs(number) <= kMostExact && std::trunc(number) == number) {
      return std::to_string(static_cast<std::int64_t>(number));
    }
  }
  return id.dump();
}

}  // namespace

std::string CanonicalId(std::string_view text) {
  const json id = json::parse(text, nullptr, false);
  return id.is_discarded() ? std::string(text) : IdText(id);
}

std::vector<std::string> CancelledIds(std::string_view text) {
  // Of ids of 256 bytes and reasons that people read. A tree takes many times the text.
  constexpr std::size_t kMostBytes = std::size_t{256} << 10U;
  std::vector<std::string> ids;
  if (text.size() > kMostBytes) return ids;
  json whole = json::parse(text, nullptr, false);
  if (!whole.is_array()) whole = json::array({std::move(whole)});
  for (const json& message : whole) {
    const json& id = MemberOf(MemberOf(message, "params"), "requestId");
    if (MemberOf(message, "method") != "notifications/cancelled") continue;
    if (id.is_string() || id.is_number()) ids.push_back(IdText(id));
  }
  return ids;
}

void HeldPlaces::Hold(const std::vector<std::string_view>& ids, Places places) {
  const auto held = std::make_shared<Places>(std::move(places));
  for (const std::string_view id : ids) by_id_.emplace(CanonicalId(id), held);
}

HeldPlaces::Places HeldPlaces::Take(std::string_view id) {
  const auto [first, last] = by_id_.equal_range(CanonicalId(id));
  if (first == last) return {};
  // Of two with one id the one with places stays until both are answered.
  const auto empty = std::find_if(first, last, [](const auto& one) { return one.second->empty(); });
  const auto found = empty == last ? first : empty;
  const std::shared_ptr<Places> held = std::move(found->second);
  by_id_.erase(found);
  return held.use_count() == 1 ? std::move(*held) : Places();
}

HeldPlaces::Places HeldPlaces::TakeAll() {
  Places all;
  while (!by_id_.empty()) {
    const Places places = Take(by_id_.begin()->first);
    all.insert(all.end(), places.begin(), places.end());
  }
  return all;
}

}  // namespace sluicegate::pipe
