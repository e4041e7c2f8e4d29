// Reads the texts of a configuration as values. Each function tells what is wrong with the text as
// a mistake at its place and gives nullopt then. Bound to one compile through its Mistakes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "policy/config.h"
#include "policy/mistakes.h"
#include "policy/settings.h"
#include "sluicegate/time.h"

namespace sluicegate::policy {

/// A whole number from `least` to `most`. `what` names the setting in the message.
[[nodiscard]] std::optional<std::uint64_t> ReadNumber(const Text& text, std::string_view what,
                                                      std::uint64_t least, std::uint64_t most,
                                                      Mistakes& mistakes);
/// A whole number from 1 to `most`, or `off`: 0.
[[nodiscard]] std::optional<std::uint32_t> ReadBound(const Text& text, std::string_view what,
                                                     std::uint32_t most, Mistakes& mistakes);
/// `off`, or what YAML's `off` may have become.
[[nodiscard]] bool IsOff(const Text& text);
/// So many times, from 1 to 65,536: "x4".
[[nodiscard]] std::optional<std::uint64_t> ReadFactor(const Text& text, std::string_view what,
                                                      Mistakes& mistakes);
[[nodiscard]] std::optional<bool> ReadBool(const Text& text, std::string_view what,
                                           Mistakes& mistakes);
/// More than nothing, at most 10 years.
[[nodiscard]] std::optional<Duration> ReadDuration(const Text& text, std::string_view what,
                                                   Mistakes& mistakes);
/// Bytes: "64MiB", "512KiB", "1GB", "1048576".
[[nodiscard]] std::optional<std::size_t> ReadSize(const Text& text, std::string_view what,
                                                  Mistakes& mistakes);
/// ADDRESS:PORT, an IPv6 address in brackets.
[[nodiscard]] std::optional<Endpoint> ReadEndpoint(const Text& text, std::string_view what,
                                                   Mistakes& mistakes);
/// http://HOST[:PORT][/], https://HOST[:PORT][/] or unix:/PATH.
[[nodiscard]] std::optional<UpstreamServer> ReadUpstreamServer(const Text& text,
                                                               Mistakes& mistakes);
/// What a certificate is for: a name or an address.
[[nodiscard]] std::optional<std::string> ReadServerName(const Text& text, Mistakes& mistakes);
/// A file's path, as it is written; an empty one is a mistake.
[[nodiscard]] std::string ReadPath(const Text& text, Mistakes& mistakes);
[[nodiscard]] std::vector<IpPrefix> ReadPrefixes(const std::vector<Text>& texts,
                                                 Mistakes& mistakes);
/// A name of a rule or limit: it becomes a metric's label and part of fields.
[[nodiscard]] bool CheckName(const Text& text, std::string_view what, Mistakes& mistakes);
/// The lower-case form of a field's name.
[[nodiscard]] std::optional<std::string> ReadFieldName(std::string_view name, Position at,
                                                       Mistakes& mistakes);

}  // namespace sluicegate::policy
