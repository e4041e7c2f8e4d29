#include "policy/values.h"

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "policy/words.h"
#include "sluicegate/limit.h"

namespace sluicegate::policy {
namespace {

std::optional<std::uint64_t> Digits(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool IsTokenCharacter(char c) {
  constexpr std::string_view kPunctuation = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         kPunctuation.find(c) != std::string_view::npos;
}

// Splits "host:port" or "[v6]:port"; the port may be missing.
struct HostPort {
  std::string_view host;
  std::string_view port;
  bool bracketed = false;
  bool good = false;
};

HostPort SplitHostPort(std::string_view text) {
  HostPort split;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return split;
    split.host = text.substr(1, close - 1);
    split.bracketed = true;
    text.remove_prefix(close + 1);
  } else {
    const std::size_t colon = text.find(':');
    split.host = text.substr(0, colon);
    text.remove_prefix(split.host.size());
  }
  split.good = !split.host.empty() && (text.empty() || text.front() == ':');
  if (!text.empty()) split.port = text.substr(1);
  return split;
}

bool IsHostName(std::string_view host) {
  return host.size() <= 253 && std::ranges::all_of(host, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

bool IsHost(const HostPort& split) {
  return split.bracketed ? IpAddress::Parse(split.host).has_value() : IsHostName(split.host);
}

std::optional<UpstreamServer> ReadSocketPath(const Text& text, std::string path,
                                             Mistakes& mistakes) {
  constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  const bool absolute = path.starts_with('/') && !path.starts_with("//") && path.size() > 1;
  if (absolute && path.size() <= kLongest && path.find('\0') == std::string::npos) {
    return UpstreamServer{.port = 0, .socket_path = std::move(path)};
  }
  mistakes.Add(text.at, "The upstream's url is " + Quoted(text.value) + ".",
               "Write unix: and the socket's path from / on, of at most 107 bytes, like "
               "unix:/run/app.sock.");
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> ReadNumber(const Text& text, std::string_view what,
                                        std::uint64_t least, std::uint64_t most,
                                        Mistakes& mistakes) {
  const auto value = Digits(text.value);
  if (value && *value >= least && *value <= most) return value;
  mistakes.Add(
      text.at, std::string(what) + " is " + Quoted(text.value) + ".",
      "Write a whole number from " + std::to_string(least) + " to " + std::to_string(most) + ".");
  return std::nullopt;
}

std::optional<std::uint32_t> ReadBound(const Text& text, std::string_view what, std::uint32_t most,
                                       Mistakes& mistakes) {
  if (IsOff(text)) return 0;
  const auto value = Digits(text.value);
  if (value && *value >= 1 && *value <= most) return static_cast<std::uint32_t>(*value);
  mistakes.Add(text.at, std::string(what) + " is " + Quoted(text.value) + ".",
               "Write a whole number from 1 to " + std::to_string(most) + ", or off for no bound.");
  return std::nullopt;
}

bool IsOff(const Text& text) { return text.value == "off" || text.value == "false"; }

std::optional<std::uint64_t> ReadFactor(const Text& text, std::string_view what,
                                        Mistakes& mistakes) {
  constexpr std::uint64_t kMost = 65'536;
  std::optional<std::uint64_t> factor;
  if (text.value.starts_with('x')) factor = Digits(std::string_view(text.value).substr(1));
  if (factor && *factor >= 1 && *factor <= kMost) return factor;
  mistakes.Add(text.at, std::string(what) + " is " + Quoted(text.value) + ".",
               "Write x and a whole number from 1 to 65536, like x4.");
  return std::nullopt;
}

std::optional<bool> ReadBool(const Text& text, std::string_view what, Mistakes& mistakes) {
  const std::string word = Lower(text.value);
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  mistakes.Add(text.at, std::string(what) + " is " + Quoted(text.value) + ".",
               "Write true or false.");
  return std::nullopt;
}

std::optional<Duration> ReadDuration(const Text& text, std::string_view what, Mistakes& mistakes) {
  constexpr Duration kLongest = std::chrono::hours(24 * 365 * 10);
  const auto length = ParseDuration(text.value);
  if (!length) {
    mistakes.Add(text.at, std::string(what) + " is " + Quoted(text.value) + ".",
                 "Write a number and ns, us, ms, s, min, h, d or w, like 30s or 5min.");
    return std::nullopt;
  }
  if (*length > Duration::zero() && *length <= kLongest) return *length;
  mistakes.Add(text.at, std::string(what) + " is " + Quoted(text.value) + ".",
               "Write more than nothing and at most ten years.");
  return std::nullopt;
}

std::optional<std::size_t> ReadSize(const Text& text, std::string_view what, Mistakes& mistakes) {
  struct Unit {
    std::string_view word;
    std::uint64_t bytes;
  };
  constexpr std::array kUnits = {Unit{"", 1},
                                 Unit{"B", 1},
                                 Unit{"kB", 1000},
                                 Unit{"KB", 1000},
                                 Unit{"MB", 1'000'000},
                                 Unit{"GB", 1'000'000'000},
                                 Unit{"KiB", 1ULL << 10U},
                                 Unit{"MiB", 1ULL << 20U},
                                 Unit{"GiB", 1ULL << 30U}};
  constexpr std::uint64_t kMost = 1ULL << 50U;
  std::string_view rest = text.value;
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  for (const Unit& unit : kUnits) {
    if (error == std::errc() && unit.word == rest && count <= kMost / unit.bytes) {
      return static_cast<std::size_t>(count * unit.bytes);
    }
  }
  mistakes.Add(text.at, std::string(what) + " is " + Quoted(text.value) + ".",
               "Write a number of bytes with KiB, MiB or GiB, like 64MiB.");
  return std::nullopt;
}

std::optional<Endpoint> ReadEndpoint(const Text& text, std::string_view what, Mistakes& mistakes) {
  const HostPort split = SplitHostPort(text.value);
  const auto address = IpAddress::Parse(split.host);
  const auto port = Digits(split.port);
  if (split.good && address && port && *port <= 65'535 && split.bracketed == !address->is_v4()) {
    return Endpoint{.address = *address, .port = static_cast<std::uint16_t>(*port)};
  }
  mistakes.Add(text.at, std::string(what) + " is " + Quoted(text.value) + ".",
               "Write an address and a port, like 127.0.0.1:8080 or [::1]:8080.");
  return std::nullopt;
}

std::optional<UpstreamServer> ReadUpstreamServer(const Text& text, Mistakes& mistakes) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kHttp = "http://";
  constexpr std::string_view kHttps = "https://";
  const std::string& url = text.value;
  const std::string mend =
      "Write http://HOST:PORT, https://HOST:PORT or unix:/PATH, like http://127.0.0.1:8000.";
  const auto refuse = [&](std::string what) {
    mistakes.Add(text.at, std::move(what), mend);
    return std::nullopt;
  };
  if (url.starts_with(kUnix)) return ReadSocketPath(text, url.substr(kUnix.size()), mistakes);
  const bool tls = url.starts_with(kHttps);
  if (!tls && !url.starts_with(kHttp)) return refuse("The upstream's url is " + Quoted(url) + ".");
  std::string_view rest = std::string_view(url).substr(tls ? kHttps.size() : kHttp.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('@') != std::string_view::npos) {
    // Not quoted: what is before the @ may be a password.
    return refuse("The upstream's url has a user or a password.");
  }
  if (rest.find_first_of("/?#") != std::string_view::npos) {
    return refuse("The upstream's url " + Quoted(url) + " has more than a host and a port.");
  }
  const HostPort split = SplitHostPort(rest);
  const auto port =
      split.port.empty() ? std::optional<std::uint64_t>(tls ? 443 : 80) : Digits(split.port);
  if (!split.good || !IsHost(split) || !port || *port == 0 || *port > 65'535 ||
      rest.ends_with(':')) {
    return refuse("The upstream's url is " + Quoted(url) + ".");
  }
  return UpstreamServer{
      .host = std::string(split.host), .port = static_cast<std::uint16_t>(*port), .tls = tls};
}

std::optional<std::string> ReadServerName(const Text& text, Mistakes& mistakes) {
  const bool address = IpAddress::Parse(text.value).has_value();
  if (address || (!text.value.empty() && IsHostName(text.value))) return text.value;
  mistakes.Add(text.at, Quoted(text.value) + " is no name that a certificate could be for.",
               "Write one like api.internal, without scheme and port.");
  return std::nullopt;
}

std::string ReadPath(const Text& text, Mistakes& mistakes) {
  if (text.value.empty())
    mistakes.Add(text.at, "The name of this file is empty.", "Write its path.");
  return text.value;
}

std::vector<IpPrefix> ReadPrefixes(const std::vector<Text>& texts, Mistakes& mistakes) {
  std::vector<IpPrefix> prefixes;
  for (const Text& text : texts) {
    IpPrefix prefix;
    switch (IpPrefix::Parse(text.value, prefix)) {
      case IpPrefix::Fault::kNone:
        prefixes.push_back(prefix);
        break;
      case IpPrefix::Fault::kSyntax:
        mistakes.Add(text.at, Quoted(text.value) + " is no address and no network.",
                     "Write one like 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32.");
        break;
      case IpPrefix::Fault::kLength:
        mistakes.Add(text.at, Quoted(text.value) + " has no good prefix length.",
                     "Write 0 to 32 behind an IPv4 address and 0 to 128 behind an IPv6 one.");
        break;
      case IpPrefix::Fault::kHostBits:
        mistakes.Add(
            text.at, Quoted(text.value) + " has bits set behind its prefix.",
            "Write " + prefix.ToString() + " for the network, or the address without a prefix.");
        break;
    }
  }
  return prefixes;
}

bool CheckName(const Text& text, std::string_view what, Mistakes& mistakes) {
  constexpr std::size_t kLongest = 64;
  const std::string& name = text.value;
  const auto word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool good =
      !name.empty() && name.size() <= kLongest && word(name.front()) &&
      std::ranges::all_of(name, [&](char c) { return word(c) || c == '-' || c == '_'; });
  if (good) return true;
  mistakes.Add(text.at, std::string(what) + " is " + Quoted(name) + ".",
               "Write 1 to 64 small letters, digits, dashes and underscores, a letter or digit "
               "first.");
  return false;
}

std::optional<std::string> ReadFieldName(std::string_view name, Position at, Mistakes& mistakes) {
  constexpr std::size_t kLongest = 100;
  std::string lower = Lower(name);
  if (!lower.empty() && lower.size() <= kLongest && std::ranges::all_of(lower, IsTokenCharacter))
    return lower;
  mistakes.Add(at, Quoted(name) + " is no name of a header.", "Write one like x-tenant.");
  return std::nullopt;
}

}  // namespace sluicegate::policy
