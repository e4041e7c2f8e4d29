// Mistakes: collects what is wrong with a configuration while it is compiled, and the warnings.
// Bound to one compile.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "policy/config.h"

namespace sluicegate::policy {

/// Puts mistakes into the file's order, those of one place as they were found. An insertion sort:
/// the lists are short and nearly sorted. Pure.
inline void SortByPlace(std::vector<Mistake>& all) {
  for (auto it = all.begin(); it != all.end(); ++it) {
    std::rotate(std::ranges::upper_bound(all.begin(), it, it->at, {}, &Mistake::at), it, it + 1);
  }
}

class Mistakes {
 public:
  void Add(Position at, std::string what, std::string mend) {
    mistakes_.push_back({.at = at, .what = std::move(what), .mend = std::move(mend)});
  }
  /// A whole sentence with its mend, as the limit module writes them ("a limit of 0 units ..."):
  /// split at the first full stop, with a capital.
  void AddSentence(Position at, std::string sentence) {
    if (!sentence.empty() && sentence.front() >= 'a' && sentence.front() <= 'z') {
      sentence.front() = static_cast<char>(sentence.front() - 'a' + 'A');
    }
    const std::size_t stop = sentence.find(". ");
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
