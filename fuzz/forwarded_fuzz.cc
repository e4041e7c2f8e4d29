// The elements of X-Forwarded-For and Forwarded: cutting a list up ends, loses nothing but the
// commas and blanks, and what is read as an address is that address however it is spelled.
#include <algorithm>
#include <string>

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

  if (const auto address = wire::ParseNode(bytes)) CheckNode(*address);
  const auto address = wire::ParseForwardedElement(bytes);
  if (!address) return;
  CheckNode(*address);
  Require(wire::ParseForwardedElement(" " + std::string(bytes) + "\t") == address);
}
