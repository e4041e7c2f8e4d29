#include "engine/kept_layout.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "limit/saturating.h"

namespace sluicegate::engine {
namespace {

using limit::CompiledLimit;

// By the first word of CompiledLimit::state_identity.
struct Kind {
  std::uint64_t number;
  std::string_view word;
};
constexpr std::uint64_t kWide = 256;
constexpr std::array kKinds = {
    Kind{.number = static_cast<std::uint64_t>(Algorithm::kTokenBucket), .word = "token_bucket"},
    Kind{.number = static_cast<std::uint64_t>(Algorithm::kSlidingWindow), .word = "sliding_window"},
    Kind{.number = static_cast<std::uint64_t>(Algorithm::kSlidingWindow) | kWide,
         .word = "sliding_window_32"},
    Kind{.number = static_cast<std::uint64_t>(Algorithm::kFixedWindow), .word = "fixed_window"},
    Kind{.number = static_cast<std::uint64_t>(Algorithm::kConcurrency), .word = "concurrency"},
    Kind{.number = static_cast<std::uint64_t>(Algorithm::kConcurrency) | kWide,
         .word = "concurrency_32"}};

// Names come from a configuration, so they have no line ends; a caller of the library may think of
// anything.
std::string OneLine(std::string name) {
  std::ranges::replace_if(name, [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
  return name;
}

void AppendLine(std::string& text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) text.append(word).push_back(' ');
  text.back() = '\n';
}

KeptSet SetOf(const policy::LimitSet& set, const policy::BoundLimits& bound_limits) {
  KeptSet kept;
  for (const policy::BoundLimit& bound : bound_limits) {
    const bool own = bound.index < set.limits.size();
    kept.limits.push_back({.name = own ? OneLine(set.limits[bound.index].name) : "new_keys",
                           .offset = bound.offset,
                           .limit = bound.limit});
  }
  return kept;
}

// The words of a line, from its front.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}
  std::string_view Next() noexcept {
    const std::size_t end = std::min(rest_.find(' '), rest_.size());
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return word;
  }
  std::optional<std::uint64_t> Number() noexcept {
    const std::string_view word = Next();
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return number;
  }
  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view rest_;
};

// "limit 0 sliding_window 60000000000 per-minute", without its first word.
std::optional<KeptLimit> ReadLimit(Words words, std::size_t slot_bytes) {
  const auto offset = words.Number();
  const std::string_view word = words.Next();
  const auto term = words.Number();
  const auto kind = std::ranges::find(kKinds, word, &Kind::word);
  if (!offset || !term || kind == kKinds.end()) return std::nullopt;
  const auto compiled = CompiledLimit::OfStates({kind->number, *term});
  const bool fits = compiled && *offset % 8 == 0 && *offset <= slot_bytes &&
                    compiled->state_bytes() <= slot_bytes - *offset;
  if (!fits) return std::nullopt;
  return KeptLimit{.name = std::string(words.rest()),
                   .offset = static_cast<std::uint32_t>(*offset),
                   .limit = *compiled};
}

// "slot 80 rates", without its first word.
std::optional<KeptLayout> ReadSlot(Words words) {
  const auto slot_bytes = words.Number();
  if (!slot_bytes || *slot_bytes % 8 != 0 || *slot_bytes == 0 ||
      *slot_bytes > table::Table::kMaxStateBytes) {
    return std::nullopt;
  }
  return KeptLayout{.part = std::string(words.rest()), .slot_bytes = *slot_bytes, .sets = {}};
}

// False: no layout has such a line there.
bool AddLine(KeptLayout& layout, std::string_view what, Words words) {
  if (what == "set" && layout.sets.size() <= policy::kMaxOverridesPerRule) {
    const auto when = words.Number();
    if (!when) return false;
    layout.sets.push_back({.when = *when, .limits = {}});
    return true;
  }
  if (what != "limit" || layout.sets.empty()) return false;
  auto limit = ReadLimit(words, layout.slot_bytes);
  if (!limit || layout.sets.back().limits.size() > policy::kMaxLimitsPerRule) return false;
  layout.sets.back().limits.push_back(std::move(*limit));
  return true;
}

}  // namespace

KeptLayout KeptLayout::Of(std::string_view part, const policy::Rule& rule,
                          const policy::Layout& layout) {
  KeptLayout kept{.part = std::string(part), .slot_bytes = layout.slot_bytes, .sets = {}};
  for (std::size_t i = 0; i < layout.variants.size(); ++i) {
    kept.sets.push_back(SetOf(rule.variants()[i], layout.variants[i]));
    if (i > 0) kept.sets.back().when = rule.OverrideHash(i - 1);
  }
  return kept;
}

KeptLayout KeptLayout::Of(std::string_view part, const policy::LimitSet& limits,
                          const policy::Layout& layout) {
  return {.part = std::string(part),
          .slot_bytes = layout.slot_bytes,
          .sets = {SetOf(limits, layout.variants[0])}};
}

bool KeptLayout::of_leases() const noexcept {
  return std::ranges::any_of(sets, [](const KeptSet& set) {
    return std::ranges::any_of(set.limits, [](const KeptLimit& kept) {
      return kept.limit.algorithm() == Algorithm::kConcurrency;
    });
  });
}

std::string KeptLayout::Text() const {
  std::string text;
  AppendLine(text, {"slot", std::to_string(slot_bytes), part});
  for (const KeptSet& set : sets) {
    AppendLine(text, {"set", std::to_string(set.when)});
    for (const KeptLimit& limit : set.limits) {
      const auto [number, term] = limit.limit.state_identity();
      AppendLine(text, {"limit", std::to_string(limit.offset),
                        std::ranges::find(kKinds, number, &Kind::number)->word,
                        std::to_string(term), limit.name});
    }
  }
  return text;
}

std::vector<KeptLayout> KeptLayout::Read(std::string_view text) {
  std::vector<KeptLayout> layouts;
  bool good = false;  // The last one, so far.
  const auto drop_bad = [&] {
    if (!layouts.empty() && (!good || layouts.back().sets.empty())) layouts.pop_back();
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    Words words(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view what = words.Next();
    if (what == "slot") {
      drop_bad();
      auto layout = ReadSlot(words);
      good = layout.has_value();
      layouts.push_back(std::move(layout).value_or(KeptLayout{}));
    } else if (good) {
      good = AddLine(layouts.back(), what, words);
    }
  }
  drop_bad();
  return layouts;
}

// A sliding window is past a slice after its end, a month is 31 days: twice is beyond all.
std::uint64_t KeptLayout::LastsNs() const noexcept {
  std::uint64_t longest_ns = 0;
  for (const KeptSet& set : sets) {
    for (const KeptLimit& limit : set.limits) {
      longest_ns = std::max(longest_ns, limit.limit.window_ns());
    }
  }
  return limit::MultiplySaturating(longest_ns, 2);
}

policy::Layout KeptLayout::Bound() const {
  policy::Layout layout{.variants = {}, .slot_bytes = slot_bytes};
  for (const KeptSet& set : sets) {
    policy::BoundLimits& limits = layout.variants.emplace_back();
    for (const KeptLimit& limit : set.limits) {
      limits.push_back({.limit = limit.limit, .offset = limit.offset, .index = 0});
    }
  }
  return layout;
}

const KeptLayout* FindPart(const std::vector<KeptLayout>& layouts, std::string_view part) noexcept {
  const auto found = std::ranges::find(layouts, part, &KeptLayout::part);
  return found == layouts.end() ? nullptr : &*found;
}

}  // namespace sluicegate::engine
