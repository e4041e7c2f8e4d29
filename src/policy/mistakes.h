// Mistakes: collects what is wrong with a configuration while it is compiled, and the warnings.
// Bound to one compile.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "policy/config.h"

namespace sluicegate::policy {

/// Puts mistakes into the file's order, those of one place as they were found; a file may have a
/// hundred thousand. Pure.
inline void SortByPlace(std::vector<Mistake>& all) {
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&all](std::size_t i) { return std::pair(all[i].at, i); });
  std::vector<Mistake> sorted;
  sorted.reserve(all.size());
  for (const std::size_t i : order) sorted.push_back(std::move(all[i]));
  all = std::move(sorted);
}

class Mistakes {
 public:
  void Add(Position at, std::string what, std::string mend) {
    mistakes_.push_back({.at = at, .what = std::move(what), .mend = std::move(mend)});
  }
  /// A whole sentence with its mend, as the limit module writes them ("a limit of 0 units ..."):
  /// split at the last full stop, as what is quoted of the file may hold others, with a capital.
  void AddSentence(Position at, std::string sentence) {
    if (!sentence.empty() && sentence.front() >= 'a' && sentence.front() <= 'z') {
      sentence.front() = static_cast<char>(sentence.front() - 'a' + 'A');
    }
    const std::size_t stop = sentence.rfind(". ");
    if (stop == std::string::npos) return Add(at, std::move(sentence), {});
    Add(at, sentence.substr(0, stop + 1), sentence.substr(stop + 2));
  }
  void Warn(Position at, std::string what, std::string mend) {
    warnings_.push_back({.at = at, .what = std::move(what), .mend = std::move(mend)});
  }

  [[nodiscard]] bool empty() const noexcept { return mistakes_.empty(); }
  [[nodiscard]] std::vector<Mistake> TakeMistakes() { return Sorted(std::move(mistakes_)); }
  [[nodiscard]] std::vector<Mistake> TakeWarnings() { return Sorted(std::move(warnings_)); }

 private:
  static std::vector<Mistake> Sorted(std::vector<Mistake> all) {
    SortByPlace(all);
    return all;
  }
  std::vector<Mistake> mistakes_;
  std::vector<Mistake> warnings_;
};

}  // namespace sluicegate::policy
