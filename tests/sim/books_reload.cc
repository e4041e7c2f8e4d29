// Books::Reload: what a reload keeps, written from doc/policy.md and apart from src/engine/move.cc.
#include <algorithm>
#include <optional>

#include "books.h"

namespace sluicegate::sim {
namespace {

constexpr unsigned kNewKeys = 255;
constexpr std::size_t kMostCopies = 8;

using Pairs = std::vector<std::optional<std::size_t>>;  // For each new line an old one.

bool CanTake(const Line& to, const Line& from) {
  return to.spec.Continues(from.spec) && (to.index == kNewKeys) == (from.index == kNewKeys);
}

// Requests in flight are the same for all that count them: each limit takes them from one of its
// own lease, else from the longest.
std::optional<std::size_t> LeaseFor(const Line& to, const Lines& before) {
  std::optional<std::size_t> best;
  for (std::size_t from = 0; from < before.size(); ++from) {
    if (!before[from].spec.is_lease()) continue;
    if (before[from].spec.window_ns == to.spec.window_ns) return from;
    if (!best || before[from].spec.window_ns > before[*best].spec.window_ns) best = from;
  }
  return best;
}

// A rate takes from the one of its name, else from the first of its algorithm and window that
// nobody takes from.
Pairs PairUp(const Lines& before, const Lines& after) {
  Pairs pairs(after.size());
  std::set<std::size_t> taken;
  for (std::size_t to = 0; to < after.size(); ++to) {
    if (after[to].spec.is_lease()) pairs[to] = LeaseFor(after[to], before);
  }
  for (const bool by_name : {true, false}) {
    for (std::size_t to = 0; to < after.size(); ++to) {
      for (std::size_t from = 0; from < before.size() && !pairs[to]; ++from) {
        if (taken.contains(from) || !CanTake(after[to], before[from])) continue;
        if (by_name && after[to].spec.name != before[from].spec.name) continue;
        pairs[to] = from;
        taken.insert(from);
      }
    }
  }
  return pairs;
}

std::optional<std::size_t> SameVariant(const LaidRule& before, std::size_t variant,
                                       const LaidRule& after) {
  if (variant == 0) return 0;
  for (std::size_t i = 1; i <= after.spec->overrides.size(); ++i) {
    if (after.VariantName(i) == before.VariantName(variant)) return i;
  }
  return std::nullopt;
}

const Layout* LayoutOf(const LaidRule& rule, std::pair<Part, unsigned> place) {
  switch (place.first) {
    case Part::kRates:
      return LaidRule::IsEmpty(rule.rates) ? nullptr : &rule.rates;
    case Part::kLeases:
    case Part::kOverflow:
      return LaidRule::IsEmpty(rule.leases) ? nullptr : &rule.leases;
    case Part::kParents:
      return rule.has_parents() ? &rule.parents : nullptr;
    case Part::kBans:
      return nullptr;
    case Part::kCeiling:
      break;
  }
  const auto found = rule.ceilings.find(place.second);
  return found == rule.ceilings.end() ? nullptr : &found->second;
}

std::vector<std::pair<Part, unsigned>> PlacesOf(const LaidRule& rule) {
  std::vector<std::pair<Part, unsigned>> places = {
      {Part::kRates, 0}, {Part::kLeases, 0}, {Part::kOverflow, 0}, {Part::kParents, 0}};
  for (const auto& [bits, layout] : rule.ceilings) places.emplace_back(Part::kCeiling, bits);
  return places;
}

// One rule under both policies.
struct Both {
  const LaidRule& before;
  const LaidRule& after;
};

Book Continue(const Book& book, const Lines& lines, const Pairs& pairs, std::size_t variant,
              bool moved, Now now) {
  Book next;
  next.variant = variant;
  next.hash = book.hash;
  next.life = book.life;
  next.away = book.away;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const LimitSpec& spec = lines[i].spec;
    if (pairs[i]) {
      const Ledger& ledger = book.ledgers[*pairs[i]];
      next.ledgers.push_back(book.away ? ledger.BlockedAs(spec, now)
                                       : ledger.ContinuedAs(spec, now, moved));
      next.bounds.push_back(book.bounds[*pairs[i]]);
      next.bounds.back().ContinueAs(spec, now);
    } else {
      next.ledgers.emplace_back(spec);
      next.bounds.emplace_back(spec);
    }
  }
  return next;
}

bool IsSamePrice(const LimitSpec& before, const LimitSpec& after) {
  return after.algorithm != Algorithm::kTokenBucket || before.price_ns() == after.price_ns();
}

bool IsClear(const Book& book, Now now) {
  return std::ranges::all_of(book.ledgers,
                             [now](const Ledger& ledger) { return ledger.Reset(now) == 0; });
}

// What was over under a lease of another length stays so.
void ForgetStamps(Shelf& shelf, std::uint64_t shortest_ns, Now now) {
  const std::uint64_t from_ns = now.engine_ns > shortest_ns ? now.engine_ns - shortest_ns : 0;
  shelf.stamps_from_ns = std::max(shelf.stamps_from_ns, from_ns);
}

void ContinueShelf(Shelf& shelf, const Both& rule, std::pair<Part, unsigned> place, bool stays,
                   Now now, std::uint64_t& numbers, std::set<std::string>& afresh) {
  const Layout& before = *LayoutOf(rule.before, place);
  const Layout& after = *LayoutOf(rule.after, place);
  std::unordered_map<std::string, Book> books;
  std::unordered_map<std::string, std::vector<Book>> copies;
  std::uint64_t shortest_ns = ~std::uint64_t{0};  // Of the leases that get another length.
  bool keeps_stamps = true;
  for (std::size_t from = 0; from < before.size(); ++from) {
    const auto to = SameVariant(rule.before, from, rule.after);
    if (!to) continue;
    const Pairs pairs = PairUp(before[from], after[*to]);
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (pairs[i]) continue;
      afresh.insert("rule " + rule.after.spec->name + ": limit " + after[*to][i].spec.name +
                    " counts afresh: no limit of its algorithm and window was there before");
    }
    const bool keeps =
        std::ranges::any_of(pairs, [](const auto& pair) { return pair.has_value(); });
    const auto carry = [&](const Book& book) {
      return Continue(book, after[*to], pairs, *to, !stays, now);
    };
    for (const auto& [key, book] : shelf.books) {
      if (book.variant != from || !keeps) continue;
      books.emplace(key, carry(book));
      copies[key].push_back(carry(book));
    }
    // No stamp names a limit set that had nothing here.
    for (std::size_t i = 0; i < pairs.size() && !before[from].empty(); ++i) {
      keeps_stamps =
          keeps_stamps && pairs[i] && IsSamePrice(before[from][*pairs[i]].spec, after[*to][i].spec);
      if (!pairs[i] || !after[*to][i].spec.is_lease()) continue;
      const std::uint64_t old_ns = before[from][*pairs[i]].spec.window_ns;
      if (old_ns != after[*to][i].spec.window_ns) shortest_ns = std::min(shortest_ns, old_ns);
    }
    for (const auto& [key, all] : shelf.copies) {
      for (const Book& copy : all) {
        if (copy.variant != from || !keeps || IsClear(copy, now)) continue;
        if (copies[key].size() < kMostCopies) copies[key].push_back(carry(copy));
      }
    }
  }
  std::erase_if(copies, [](const auto& one) { return one.second.empty(); });
  shelf.books = std::move(books);
  shelf.copies = std::move(copies);
  // What was charged on other limits cannot be given back on these.
  if (!keeps_stamps) shelf.epoch = ++numbers;
  ForgetStamps(shelf, shortest_ns, now);
}

void ContinueOffenders(RuleBooks& books, const Both& rule, bool moved, Now now) {
  if (!rule.before.spec->penalty || !rule.after.spec->penalty) {
    books.offenders.clear();
  }
  if (!moved) return;
  for (auto& [key, record] : books.offenders) {
    record.offender.Reprice(*rule.before.spec->penalty, *rule.after.spec->penalty, now.engine_ns);
  }
}

}  // namespace

std::set<std::string> Books::Reload(const LaidPolicy& before, const LaidPolicy& after,
                                    const HasMoved& moved, Now now) {
  std::set<std::string> afresh;
  std::map<std::string, RuleBooks> rules;
  for (const LaidRule& rule : after.rules()) {
    if (!rule.on()) continue;
    RuleBooks& books = rules[rule.spec->name];
    const LaidRule* old = before.Named(rule.spec->name);
    if (old == nullptr) continue;
    books = std::move(rules_[rule.spec->name]);
    std::map<std::pair<Part, unsigned>, Shelf> shelves;
    for (const auto& place : PlacesOf(rule)) {
      if (LayoutOf(rule, place) == nullptr || LayoutOf(*old, place) == nullptr) continue;
      shelves[place] = std::move(books.shelves[place]);
      const bool stays = !moved(rule.spec->name, place);
      ContinueShelf(shelves[place], {*old, rule}, place, stays, now, numbers_, afresh);
    }
    books.shelves = std::move(shelves);
    const bool bans_moved = moved(rule.spec->name, {Part::kBans, 0});
    ContinueOffenders(books, {*old, rule}, bans_moved, now);
  }
  rules_ = std::move(rules);
  reloaded_ = true;
  return afresh;
}

}  // namespace sluicegate::sim
