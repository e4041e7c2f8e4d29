#include "policy/glob.h"

#include <vector>

namespace sluicegate::policy {
namespace {

enum class Token : std::uint8_t { kLiteral, kStar, kDoubleStar };

struct Place {
  Token token;
  char literal;
};

// Replaces every `what` by the shorter `with`, also where that makes a new one.
void Replace(std::string& text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
  }
}

// The same pattern with `**` for longer runs of stars and without repeated "/**": so no two places
// with stars are neighbours, and no place that may be skipped leads to another. In a text every run
// of stars is `**`.
std::string Simplified(std::string_view pattern, bool path) {
  std::string simple(pattern);
  if (!path) {
    Replace(simple, "**", "*");
    for (std::size_t at = 0; (at = simple.find('*', at)) != std::string::npos; at += 2)
      simple.insert(at, 1, '*');
    return simple;
  }
  Replace(simple, "***", "**");
  Replace(simple, "/**/**", "/**");
  return simple;
}

std::vector<Place> Tokenize(std::string_view pattern) {
  std::vector<Place> places;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '*') {
      places.push_back({.token = Token::kLiteral, .literal = pattern[i]});
    } else if (i + 1 < pattern.size() && pattern[i + 1] == '*') {
      places.push_back({.token = Token::kDoubleStar, .literal = 0});
      ++i;
    } else {
      places.push_back({.token = Token::kStar, .literal = 0});
    }
  }
  return places;
}

template <class Places>
void Set(Places& places, std::size_t at) {
  places[at / 64] |= std::uint64_t{1} << (at % 64);
}

template <class Places>
Places And(const Places& a, const Places& b) noexcept {
  Places result;
  for (std::size_t i = 0; i < a.size(); ++i) result[i] = a[i] & b[i];
  return result;
}

template <class Places>
void Add(Places& to, const Places& more) noexcept {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] |= more[i];
}

// Every place moved on by `by` (1 or 2).
template <class Places>
Places Shifted(const Places& places, unsigned by) noexcept {
  Places result;
  std::uint64_t carry = 0;
  for (std::size_t i = 0; i < places.size(); ++i) {
    result[i] = (places[i] << by) | carry;
    carry = places[i] >> (64 - by);
  }
  return result;
}

}  // namespace

std::optional<Glob> Glob::Compile(std::string_view pattern, Subject subject) {
  if (pattern.empty() || pattern.size() > kMaxLength) return std::nullopt;
  const bool path = subject == Subject::kPath;
  Glob glob;
  glob.pattern_ = pattern;
  const std::string simple = Simplified(pattern, path);
  pattern = simple;
  const std::size_t star = pattern.find('*');
  if ((path && pattern == "/**") || pattern == "**") return glob;
  if (star == std::string_view::npos) {
    glob.kind_ = Kind::kExact;
    return glob;
  }
  if (star == pattern.size() - 2 && pattern.ends_with("**")) {
    const bool subtree = path && pattern[star - 1] == '/';
    glob.kind_ = subtree ? Kind::kSubtree : Kind::kPrefix;
    glob.prefix_ = pattern.substr(0, subtree ? star - 1 : star);
    return glob;
  }
  glob.kind_ = Kind::kGeneral;
  const std::vector<Place> places = Tokenize(pattern);
  auto tables = std::make_shared<Tables>();
  const auto slash_at = [&places, path](std::size_t i) {
    return path && i < places.size() && places[i].token == Token::kLiteral &&
           places[i].literal == '/';
  };
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].token == Token::kLiteral) {
      Set(tables->literal[static_cast<unsigned char>(places[i].literal)], i);
      continue;
    }
    Set(places[i].token == Token::kStar ? tables->star : tables->double_star, i);
    if (places[i].token == Token::kDoubleStar && i > 0 && slash_at(i - 1)) {
      if (slash_at(i + 1)) Set(tables->skip_two, i);
      if (i + 1 == places.size()) Set(tables->accept, i - 1);
    }
  }
  Set(tables->accept, places.size());
  glob.tables_ = std::move(tables);
  return glob;
}

bool Glob::Simulate(std::string_view text) const noexcept {
  const Tables& tables = *tables_;
  Places stars = tables.star;
  Add(stars, tables.double_star);
  // A place with a star may also match nothing: whoever reaches it reaches the next one, too.
  const auto close = [&](Places& reached) { Add(reached, Shifted(And(reached, stars), 1)); };
  Places reached{1};
  close(reached);
  for (const char c : text) {
    Places next = Shifted(And(reached, tables.literal[static_cast<unsigned char>(c)]), 1);
    // Only who comes fresh from the '/' may leave "**/" out: whoever stays in the `**` has bytes
    // behind that '/' and needs the other one.
    Add(next, Shifted(And(next, tables.skip_two), 2));
    Add(next, And(reached, c == '/' ? tables.double_star : stars));
    close(next);
    reached = next;
  }
  for (const std::uint64_t word : And(reached, tables.accept)) {
    if (word != 0) return true;
  }
  return false;
}

}  // namespace sluicegate::policy
