#include "wire/client_address.h"

#include <algorithm>

#include "wire/forwarded.h"

namespace sluicegate::wire {
namespace {

// All elements of all lines of one field, from the last to the first.
class Elements {
 public:
  Elements(std::span<const Field> fields, ClientField field) noexcept
      : fields_(fields), forwarded_(field == ClientField::kForwarded) {}

  // The next address towards the client, or nothing: there is none, or it is malformed.
  std::optional<IpAddress> Next() noexcept {
    while (line_.empty()) {
      if (fields_.empty()) return std::nullopt;
      const Field& field = fields_.back();
      fields_ = fields_.first(fields_.size() - 1);
      if (EqualsIgnoreCase(field.name, forwarded_ ? "forwarded" : "x-forwarded-for")) {
        line_ = field.value;
      }
    }
    return forwarded_ ? ParseForwardedElement(TakeLastQuotedElement(line_))
                      : ParseNode(TakeLastElement(line_));
  }

 private:
  std::span<const Field> fields_;
  bool forwarded_;
  std::string_view line_;
};

}  // namespace

ClientAddress FindClientAddress(const IpAddress& peer, const ClientAddressOptions& options,
                                std::span<const Field> fields) noexcept {
  ClientAddress client{.address = peer, .peer_trusted = options.trusted_proxies.Contains(peer)};
  if (!client.peer_trusted || options.field == ClientField::kNone) return client;
  Elements elements(fields, options.field);
  const unsigned hops = std::min(options.trusted_hops.value_or(kMaxHops), kMaxHops);
  for (unsigned i = 0; i < hops; ++i) {
    if (!options.trusted_hops && !options.trusted_proxies.Contains(client.address)) break;
    const auto next = elements.Next();
    if (!next) break;
    client.address = *next;
  }
  return client;
}

}  // namespace sluicegate::wire
