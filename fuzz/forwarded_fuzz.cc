// The elements of X-Forwarded-For and Forwarded: cutting a list up ends, loses nothing but the
// commas and blanks, and what is read as an address is that address however it is spelled. Behind a
// well-formed Forwarded an element of ours stays an element, also to who reads from the left.
#include <algorithm>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "wire/client_address.h"
#include "wire/forwarded.h"

using sluicegate::IpAddress;
using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

bool LiesIn(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// Takes elements off until the list is empty; gives their number.
template <typename Take>
std::size_t CountElements(std::string_view bytes, Take take) {
  std::size_t count = 0;
  for (std::string_view list = bytes; !list.empty(); ++count) {
    const std::string_view before = list;
    const std::string_view element = take(list);
    Require(list.size() < before.size() && before.starts_with(list));
    Require(LiesIn(element, before) && wire::syntax::Trim(element) == element);
  }
  return count;
}

// The elements of a list as one finds them from the left, blank ones too.
std::vector<std::string_view> FromLeft(std::string_view list) {
  std::vector<std::string_view> elements;
  bool quoted = false;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < list.size(); ++at) {
    if (quoted && list[at] == '\\') {
      ++at;
    } else if (list[at] == '"') {
      quoted = !quoted;
    } else if (list[at] == ',' && !quoted) {
      elements.push_back(wire::syntax::Trim(list.substr(begin, at - begin)));
      begin = at + 1;
    }
  }
  Require(!quoted);
  elements.push_back(wire::syntax::Trim(list.substr(begin)));
  return elements;
}

void CheckContinued(std::string_view bytes) {
  constexpr std::string_view kOwn = "for=192.0.2.1;host=\"t\";proto=http";
  const std::string continued = std::string(bytes).append(", ").append(kOwn);
  Require(wire::IsForwardedList(continued));
  auto elements = FromLeft(continued);
  Require(elements.back() == kOwn);
  for (std::string_view list = continued; !list.empty(); elements.pop_back()) {
    Require(wire::TakeLastQuotedElement(list) == elements.back());
  }
  // A comma at the front leaves an empty list behind, as above.
  Require(elements.empty() || (elements.size() == 1 && elements.front().empty()));
}

void CheckNode(const IpAddress& address) {
  const std::string text = address.ToString();
  const std::string node = address.is_v4() ? text : "[" + text + "]";
  Require(wire::ParseNode(text) == address);
  Require(wire::ParseNode(node) == address && wire::ParseNode(node + ":65535") == address);
  Require(wire::ParseForwardedElement("for=\"" + node + ":80\"; proto=https") == address);
  Require(wire::ParseForwardedElement("By=x;FOR=\"" + node + "\"") == address);
  Require(!wire::ParseForwardedElement("for=\"" + node + "\";for=192.0.2.1"));
}

}  // namespace

SG_FUZZ_TARGET(forwarded) {
  const auto commas = static_cast<std::size_t>(std::ranges::count(bytes, ','));
  const std::size_t plain = CountElements(bytes, wire::TakeLastElement);
  // A comma at the front leaves an empty list behind, which is no element any more.
  Require(plain == (bytes.empty() ? 0 : commas + (bytes.starts_with(',') ? 0U : 1U)));
  Require(CountElements(bytes, wire::TakeLastQuotedElement) <= commas + 1);

  if (wire::IsForwardedList(bytes)) CheckContinued(bytes);
  if (const auto address = wire::ParseNode(bytes)) CheckNode(*address);
  const auto address = wire::ParseForwardedElement(bytes);
  if (!address) return;
  CheckNode(*address);
  Require(wire::ParseForwardedElement(" " + std::string(bytes) + "\t") == address);
}
