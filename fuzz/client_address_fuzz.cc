// Client addresses: a stranger's field never counts, and whatever stands before the element that a
// trusted proxy appended cannot change how it is read. The input's lines are field lines.
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "wire/client_address.h"

using sluicegate::IpAddress;
using sluicegate::IpPrefix;
using sluicegate::PrefixSet;
using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

PrefixSet TrustTen() {
  IpPrefix prefix;
  Require(IpPrefix::Parse("10.0.0.0/8", prefix) == IpPrefix::Fault::kNone);
  return PrefixSet(std::vector{prefix});
}

void CheckField(std::string_view bytes, wire::ClientField field, std::string_view name,
                const std::string& appended) {
  static const PrefixSet trusted = TrustTen();
  const IpAddress stranger = IpAddress::V4({192, 0, 2, 1});
  const IpAddress proxy = IpAddress::V4({10, 0, 0, 1});
  std::vector<wire::Field> fields;
  for (std::string_view rest = bytes; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    fields.push_back({.name = name, .value = rest.substr(0, end)});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const wire::ClientAddressOptions options{
      .trusted_proxies = trusted, .trusted_hops = {}, .field = field};
  Require(wire::FindClientAddress(stranger, options, fields).address == stranger);
  static_cast<void>(wire::FindClientAddress(proxy, options, fields));

  const std::string line = std::string(bytes) + ", " + appended;
  const std::vector<wire::Field> joined = {{.name = name, .value = line}};
  Require(wire::FindClientAddress(proxy, options, joined).address ==
          IpAddress::V4({203, 0, 113, 9}));
}

}  // namespace

SG_FUZZ_TARGET(client_address) {
  CheckField(bytes, wire::ClientField::kXForwardedFor, "X-Forwarded-For", "203.0.113.9");
  CheckField(bytes, wire::ClientField::kForwarded, "Forwarded", "for=203.0.113.9");
  CheckField(bytes, wire::ClientField::kForwarded, "forwarded",
             "for=\"203.0.113.9:80\";host=\"a,b\", for=10.2.3.4");
}
