// Which fields end at the gateway: what Connection names, but never what somebody relies on. The
// input is the value of Connection, and on the lines behind it names of fields.
#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "fuzz_target.h"
#include "wire/hop_by_hop.h"
#include "wire/http_head.h"

using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

constexpr std::array<std::string_view, 14> kNeverTakenAway = {"host",
                                                              "content-length",
                                                              "content-type",
                                                              "authorization",
                                                              "cookie",
                                                              "cache-control",
                                                              "date",
                                                              "set-cookie",
                                                              "retry-after",
                                                              "forwarded",
                                                              "x-real-ip",
                                                              "x-forwarded-for",
                                                              "x-forwarded-proto",
                                                              "x-forwarded-host"};
constexpr std::array<std::string_view, 10> kAlwaysEnd = {"connection",
                                                         "http2-settings",
                                                         "keep-alive",
                                                         "proxy-connection",
                                                         "proxy-authenticate",
                                                         "proxy-authorization",
                                                         "te",
                                                         "trailer",
                                                         "transfer-encoding",
                                                         "upgrade"};

std::string Swapped(std::string_view text) {
  std::string swapped(text);
  for (char& c : swapped) {
    if (wire::syntax::IsAlpha(c)) c = static_cast<char>(c ^ 0x20);
  }
  return swapped;
}

void CheckName(std::string_view name, std::span<const std::string_view> connection) {
  const bool ends = wire::EndsHere(name, connection);
  const bool named = std::ranges::any_of(
      connection, [name](std::string_view other) { return wire::EqualsIgnoreCase(name, other); });
  Require(wire::EndsHere(Swapped(name), connection) == ends);
  Require(wire::IsHopByHop(Swapped(name)) == wire::IsHopByHop(name));
  Require(wire::EndsHere(name, {}) == wire::IsHopByHop(name));
  if (ends) Require(named || wire::IsHopByHop(name));
}

}  // namespace

SG_FUZZ_TARGET(hop_by_hop) {
  const std::size_t line = std::min(bytes.find('\n'), bytes.size());
  const std::string text =
      "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: " + std::string(bytes.substr(0, line)) +
      "\r\n\r\n";
  wire::RequestParser parser;
  wire::RequestHead head;
  if (parser.Parse(text, head) != wire::ParseState::kDone) return;
  const auto connection = head.connection();
  for (const std::string_view name : kNeverTakenAway) Require(!wire::EndsHere(name, connection));
  for (const std::string_view name : kAlwaysEnd) Require(wire::EndsHere(name, connection));
  for (const std::string_view name : connection) {
    CheckName(name, connection);
    Require(wire::syntax::IsToken(name));
  }
  std::string_view rest = bytes.substr(std::min(line + 1, bytes.size()));
  for (unsigned lines = 0; !rest.empty() && lines < 100; ++lines) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    CheckName(rest.substr(0, end), connection);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}
