// HeldPlaces: requests of JSON-RPC in flight and the places that each holds under limits of
// requests at the same time. Bound to one thread. As many as the limits admit.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sluicegate/decision.h"

namespace sluicegate::pipe {

class HeldPlaces {
 public:
  using Places = std::vector<Stamp>;

  /// The requests with these ids (JSON text), which came together, hold `places` together. None of
  /// the ids may be answered: then so it stays until TakeAll. REQUIRES: !ids.empty().
  void Hold(const std::vector<std::string_view>& ids, Places places);
  /// The request with this id is over: the places that nothing holds any more.
  [[nodiscard]] Places Take(std::string_view id);
  [[nodiscard]] Places TakeAll();

  [[nodiscard]] bool empty() const noexcept { return by_id_.empty(); }
  template <class Visit>
  void ForEach(const Visit& visit) {
    for (auto& [id, places] : by_id_) {
      for (Stamp& place : *places) visit(place);
    }
  }

 private:
  // A client may use an id twice, though it must not.
  std::unordered_multimap<std::string, std::shared_ptr<Places>> by_id_;
};

/// The same for ids that are spelled differently but equal: "a\u0062" and "ab", 1 and 1.0. Pure.
[[nodiscard]] std::string CanonicalId(std::string_view json);

/// params.requestId of a notifications/cancelled, or of those in a batch, as Take has ids. Pure.
[[nodiscard]] std::vector<std::string> CancelledIds(std::string_view text);

}  // namespace sluicegate::pipe
