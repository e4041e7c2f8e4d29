#include "books.h"

#include <algorithm>

namespace sluicegate::sim {
namespace {

bool IsOfLeases(Part part) { return part == Part::kLeases || part == Part::kOverflow; }

}  // namespace

void Books::Open(const LaidPolicy& policy) {
  rules_.clear();
  for (const LaidRule& rule : policy.rules()) {
    if (rule.on()) rules_[rule.spec->name] = {};
  }
}

void Books::Advance(Now now) {
  newest_.engine_ns = std::max(newest_.engine_ns, now.engine_ns);
  newest_.unix_ns = std::max(newest_.unix_ns, now.unix_ns);
}

// A fingerprint is 32 bits of the hash, the lower ones the larger its first table was: up to 1,024
// buckets where tables are small, 16,384 where they are roomy.
bool Books::IsAlone(const std::string& rule, const Spot& spot, const std::string& key) {
  const std::uint64_t mask = roomy_ ? 0x3'FFFF : 0x3F'FFFF;
  const auto bits = static_cast<std::uint32_t>((spot.hash >> 32U) & mask);
  return ShelfOf(rule, spot).fingerprints.emplace(bits, key).first->second == key;
}

// An offender that lost its place must stay away until every limit that it is at is clear.
bool Books::IsForgotten(const Book& book, const Probe::Seen& seen, Now now) const {
  const std::uint64_t blocked_until_ns = now.engine_ns + seen.blocked_ns;
  return std::ranges::any_of(book.ledgers, [&](const Ledger& ledger) {
    return ledger.AtLimit(newest_) && blocked_until_ns < newest_.engine_ns + ledger.Reset(newest_);
  });
}

// Only a reload to a smaller table may lose one, and counts it.
void Books::JudgeLease(const std::string& rule, const Spot& spot, const std::string& key) {
  Shelf& shelf = ShelfOf(rule, spot);
  const std::uint64_t refused = probe_.TableOf(spot).counts().refusals - shelf.refused;
  if (reloaded_ && ++shelf.lost <= refused) return;
  throw Failure("the key " + key + " of rule " + rule + " was evicted with requests in flight");
}

void Books::NoteRefusals(const LaidPolicy& policy) {
  for (auto& [name, books] : rules_) {
    const std::size_t rule = policy.IndexOf(name);
    for (auto& [place, shelf] : books.shelves) {
      const Spot spot{.rule = rule, .part = place.first, .bits = place.second};
      shelf.lost = 0;
      const bool exists = probe_.Has(rule, place.first, place.second);
      shelf.refused = exists ? probe_.TableOf(spot).counts().refusals : 0;
    }
    const auto& bans = probe_.rules().state(rule).bans;
    books.bans_refused = bans == nullptr ? 0 : bans->refused();
  }
}

// Bans go on, but for those that a smaller table has no place for; these are counted.
void Books::ReconcileBans(const std::string& rule, std::size_t index, Now now) {
  RuleBooks& books = rules_[rule];
  const auto& bans = probe_.rules().state(index).bans;
  if (bans == nullptr) return;
  const std::uint64_t refused = bans->refused() - books.bans_refused;
  std::uint64_t lost = 0;
  for (auto& [key, record] : books.offenders) {
    const std::uint64_t left_ns = record.offender.BanLeft(now.engine_ns);
    if (left_ns == 0 || probe_.LookAtBan(index, record.hash, now).left_ns == left_ns) continue;
    if (record.offender.BanLeft(newest_.engine_ns) == 0) continue;  // Over by another reading.
    if (++lost > refused) throw Failure("a reload lost the ban of " + key + " of rule " + rule);
    record.offender = {};
  }
}

void Books::Judge(const std::string& rule, const Spot& spot, const std::string& key,
                  const Book& book, const Probe::Seen& seen, Now now) {
  const bool clear = std::ranges::all_of(
      book.ledgers, [this](const Ledger& ledger) { return ledger.Reset(newest_) == 0; });
  if (clear) return;
  if (roomy_) throw Failure("the key " + key + " of rule " + rule + " has lost its place");
  if (IsOfLeases(spot.part)) return JudgeLease(rule, spot, key);
  if (!IsForgotten(book, seen, now)) return;
  const std::uint64_t counted = probe_.TableOf(spot).counts().forgotten;
  if (++ShelfOf(rule, spot).forgotten > counted) {
    throw Failure("the key " + key + " of rule " + rule + " was at a limit and is forgotten; " +
                  std::to_string(counted) + " were counted");
  }
}

Book* Books::Find(const std::string& rule, const Spot& spot, const std::string& key,
                  const Probe::Seen& seen, Now now) {
  Shelf& shelf = ShelfOf(rule, spot);
  const auto found = shelf.books.find(key);
  if (found == shelf.books.end()) return nullptr;
  if (seen.present) return &found->second;
  Judge(rule, spot, key, found->second, seen, now);
  const bool forgotten = IsForgotten(found->second, seen, now);
  if (seen.blocked_ns == 0 || forgotten) shelf.books.erase(found);
  return nullptr;
}

Book& Books::Make(const std::string& rule, const Spot& spot, const std::string& key,
                  std::size_t variant, const Lines& lines) {
  Book book;
  book.variant = variant;
  book.hash = spot.hash;
  book.life = ++numbers_;
  for (const Line& line : lines) {
    book.ledgers.emplace_back(line.spec);
    book.bounds.emplace_back(line.spec);
  }
  Shelf& shelf = ShelfOf(rule, spot);
  if (shelf.epoch == 0) shelf.epoch = ++numbers_;
  return shelf.books.insert_or_assign(key, std::move(book)).first->second;
}

// Of a key that is kept away only what it was at a limit of is remembered.
void Books::ForgetBelow(Book& book) {
  book.away = true;
  for (std::size_t i = 0; i < book.ledgers.size(); ++i) {
    if (!book.ledgers[i].AtLimit(newest_)) book.ledgers[i] = Ledger(book.ledgers[i].spec());
  }
}

void Books::Settle(const LaidPolicy& policy, Now now) {
  for (auto& [name, books] : rules_) {
    for (auto& [place, shelf] : books.shelves) {
      std::vector<std::string> keys;
      for (const auto& [key, book] : shelf.books) keys.push_back(key);
      std::ranges::sort(keys);  // The order of a hash table is no part of the seed.
      for (const std::string& key : keys) {
        Book& book = shelf.books.at(key);
        const Spot spot{.rule = policy.IndexOf(name),
                        .part = place.first,
                        .bits = place.second,
                        .hash = book.hash};
        const Probe::Seen seen = probe_.Look(spot, now);
        if (seen.present || Find(name, spot, key, seen, now) != nullptr) continue;
        const auto kept = shelf.books.find(key);
        if (kept != shelf.books.end()) ForgetBelow(kept->second);
      }
    }
  }
}

bool Books::Agrees(const Spot& spot, const Book& book, Now now) const {
  for (std::size_t i = 0; i < book.ledgers.size(); ++i) {
    if (probe_.Read(spot, book.variant, i, now) != book.ledgers[i].NumbersAt(now)) return false;
  }
  return true;
}

// False: the key has what a copy had.
bool Books::ReconcileKey(const std::string& rule, const Spot& spot, const std::string& key,
                         Now now) {
  Shelf& shelf = ShelfOf(rule, spot);
  const auto own = shelf.books.find(key);
  if (own != shelf.books.end() && Agrees(spot, own->second, now)) return true;
  for (const Book& copy : shelf.copies[key]) {
    if (roomy_ || !Agrees(spot, copy, now)) continue;
    if (own == shelf.books.end()) {
      shelf.books.emplace(key, copy);
    } else {
      own->second.ledgers = copy.ledgers;
    }
    return false;
  }
  if (own == shelf.books.end()) return true;  // Nothing is left of any.
  std::string what;
  for (std::size_t i = 0; i < own->second.ledgers.size(); ++i) {
    const Ledger& ledger = own->second.ledgers[i];
    const Probe::Numbers got = probe_.Read(spot, own->second.variant, i, now);
    if (got == ledger.NumbersAt(now)) continue;
    what += "\nlimit " + ledger.spec().name + ": " + got.ToText() + ", and should have " +
            ledger.NumbersAt(now).ToText();
  }
  throw Failure("the key " + key + " of rule " + rule + " has not what it had before the reload" +
                what);
}

std::uint64_t Books::Reconcile(const LaidPolicy& policy, Now now) {
  std::uint64_t copies = 0;
  for (auto& [name, books] : rules_) {
    ReconcileBans(name, policy.IndexOf(name), now);
    for (auto& [place, shelf] : books.shelves) {
      std::map<std::string, std::uint64_t> keys;
      for (const auto& [key, book] : shelf.books) keys.emplace(key, book.hash);
      for (const auto& [key, all] : shelf.copies) keys.emplace(key, all.front().hash);
      for (const auto& [key, hash] : keys) {
        const Spot spot{
            .rule = policy.IndexOf(name), .part = place.first, .bits = place.second, .hash = hash};
        if (probe_.Look(spot, now).present && !ReconcileKey(name, spot, key, now)) ++copies;
      }
    }
  }
  reloaded_ = false;
  return copies;
}

}  // namespace sluicegate::sim
