// Rule: a name, a match, a key, limits, and what happens. Immutable once compiled, so thread-safe.
// The questions that a decision asks allocate nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/siphash.h"
#include "policy/glob.h"
#include "policy/layout.h"
#include "policy/request.h"

namespace sluicegate::policy {

/// Bounds. A configuration beyond one of them is refused with the number.
inline constexpr std::size_t kMaxRules = 32;  ///< Of a file.
inline constexpr std::size_t kBuiltInRules = 3;
/// All may match one request; each holds one bucket lock then.
inline constexpr std::size_t kMaxMatches = kMaxRules + kBuiltInRules;
inline constexpr std::size_t kMaxLimitsPerRule = 8;
inline constexpr std::size_t kMaxOverridesPerRule = 64;
inline constexpr std::size_t kMaxKeyParts = 8;
inline constexpr std::size_t kMaxCeilings = 2;
inline constexpr std::size_t kMaxPatterns = 64;  ///< In one list of a match.
inline constexpr std::size_t kMaxMatchHeaders = 16;

enum class Mode : std::uint8_t { kOff, kObserve, kEnforce };

/// What the clients of one IPv6 network share, beside what each has for itself: the rule's limits
/// so many times over.
struct Ceiling {
  unsigned prefix_bits = 0;  ///< Shorter than a client's own 64.
  std::uint64_t factor = 1;
  Layout layout;  ///< The rates, with quotas (and a bucket's refill) times `factor`.
};

/// Bans that repeated violations earn. Counted by a token bucket of `violations` per `within`.
struct Penalty {
  std::uint64_t violations = 0;
  Duration within{};
  Duration ban{};
  std::vector<std::uint32_t> escalate;  ///< ban x escalate[level]; never empty.
  bool drop = false;  ///< A banned client's connection is closed without an answer; else 429.
};

/// The units a request takes.
struct Cost {
  std::uint64_t fallback = 1;  ///< Without an argument, or where a request lacks it.
  std::optional<std::size_t>
      argument;  ///< Index into Policy::asked_arguments: an MCP argument that names the cost.
  std::uint64_t max = 1;
};

/// What a key is made of.
enum class KeyKind : std::uint8_t {
  kClient = 1,
  kUser,
  kApiKey,
  kMethod,
  kPath,
  kHost,
  kHeader,
  kMcpMethod,
  kMcpTool,
  kMcpArguments,
  kEntry,
};

struct KeyPart {
  KeyKind kind = KeyKind::kClient;
  std::size_t header = 0;  ///< kHeader: index into Policy::asked_headers.
  std::string text;        ///< As written: "header:x-tenant".
};

/// The request's value of a part that is a text; empty: absent, or no text (the client;
/// descriptors, which no door of this version fills). Pure.
[[nodiscard]] std::string_view TextOf(const KeyPart& part, const Request& request) noexcept;

/// A condition on who asks: every list that is not empty must hold the request's.
struct Who {
  PrefixSet clients;
  std::set<std::string, std::less<>> users;
  std::set<std::string, std::less<>> api_keys;
  /// Of what the lists hold, whatever its order and spelling: tells an override's keys from others'
  /// wherever it stands in the file.
  std::uint64_t hash = 0;

  [[nodiscard]] bool empty() const noexcept {
    return clients.empty() && users.empty() && api_keys.empty();
  }
  /// One list holds it.
  [[nodiscard]] bool Any(const Request& request) const noexcept {
    return !empty() && OneHolds(request);
  }
  [[nodiscard]] bool All(const Request& request) const noexcept;  ///< Every given list holds it.

 private:
  [[nodiscard]] bool OneHolds(const Request& request) const noexcept;
};

/// The keyed hashes of a request's key under a rule.
struct KeyHashes {
  std::uint64_t client = 0;  ///< Whatever the variant: for what holds for the client, like a ban.
  std::uint64_t limits = 0;  ///< Under the variant's limits; variant 0: the same.
};

/// A condition on what is asked: of every list that is not empty one must match.
struct Match {
  struct Header {
    std::size_t index = 0;  ///< Into Policy::asked_headers.
    std::vector<Glob> values;
  };
  std::vector<Glob> paths;
  std::vector<std::string> methods;
  std::vector<Glob> hosts;
  std::vector<Header> headers;
  std::vector<Glob> mcp_methods;
  std::vector<Glob> mcp_tools;
  McpClass reserved = McpClass::kNone;  ///< Of a built-in rule: the messages that it is for.

  [[nodiscard]] bool empty() const noexcept {
    return paths.empty() && methods.empty() && hosts.empty() && headers.empty() &&
           mcp_methods.empty() && mcp_tools.empty();
  }
  [[nodiscard]] bool Holds(const Request& request) const noexcept {
    const bool takes = request.mcp_class == reserved || Takes(request.mcp_class);
    return takes && (empty() || EachHolds(request));
  }

  [[nodiscard]] bool MeansStreams() const noexcept {
    return reserved != McpClass::kNone || !methods.empty() || !mcp_methods.empty();
  }

 private:
  [[nodiscard]] bool EachHolds(const Request& request) const noexcept;
  /// Whether messages of a class that it is not reserved for count, too.
  [[nodiscard]] bool Takes(McpClass asked) const noexcept {
    if (reserved != McpClass::kNone) return false;
    return asked == McpClass::kStream || !mcp_methods.empty();
  }
};

class Rule {
 public:
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] std::size_t memory() const noexcept {
    return memory_;
  }  ///< Bytes for the rule's table.
  [[nodiscard]] bool Matches(const Request& request) const noexcept {
    return match_.Holds(request);
  }
  [[nodiscard]] bool Exempts(const Request& request) const noexcept { return exempt_.Any(request); }
  /// Whether the request must keep to the rule: the rule is enforced, matches, and does not exempt
  /// it.
  [[nodiscard]] bool Binds(const Request& request) const noexcept {
    return mode_ == Mode::kEnforce && Matches(request) && !Exempts(request);
  }
  /// Whether the request takes units of the rule's rates, not places of it alone. A stream of MCP
  /// does under the rules that are built in for it or name its method.
  [[nodiscard]] bool AsksRates(const Request& request) const noexcept {
    return !request.places_only ||
           (request.mcp_class == McpClass::kStream && match_.MeansStreams());
  }
  /// Which limit set applies: 0 is the rule's own, i+1 the first override whose `when` holds.
  [[nodiscard]] std::uint8_t VariantOf(const Request& request) const noexcept {
    return overrides_.empty() ? 0 : FindVariant(request);
  }
  /// The keyed hashes of the request's key under this rule. Parts are typed and length-prefixed, so
  /// different keys are different messages; an absent part falls back to the client's address;
  /// `key: []` is one shared bucket. Each variant's limits count apart.
  /// REQUIRES: variant < variants().size().
  [[nodiscard]] KeyHashes HashKeys(const HashSecret& secret, const Request& request,
                                   std::uint8_t variant) const noexcept;
  /// Of the key of the client's parent network, which stands in where a client cannot have a place
  /// of its own: its /24 or /48; for a key without the client, one key for all.
  [[nodiscard]] std::uint64_t HashParent(const HashSecret& secret, const Request& request,
                                         std::uint8_t variant) const noexcept;
  /// Bits of the network that HashParent names; 0: it names none.
  [[nodiscard]] std::uint8_t ParentBits(const Request& request) const noexcept;
  /// Of the request's key with the client's network of `bits` in the client's place.
  /// REQUIRES: the client is IPv6.
  [[nodiscard]] std::uint64_t HashCeiling(const HashSecret& secret, const Request& request,
                                          std::uint8_t variant, unsigned bits) const noexcept;
  /// The limits' alone.
  [[nodiscard]] std::uint64_t HashKey(const HashSecret& secret, const Request& request,
                                      std::uint8_t variant) const noexcept {
    return HashKeys(secret, request, variant).limits;
  }
  /// Units of this request. An argument that is there but is no whole number costs the most, so
  /// that no spelling is cheap.
  [[nodiscard]] std::uint64_t CostOf(const Request& request) const noexcept;
  [[nodiscard]] std::span<const LimitSet> variants() const noexcept {
    return variants_;
  }  ///< Never empty.
  /// What the rule's table holds: every limit but those of requests in flight.
  [[nodiscard]] const Layout& rates() const noexcept { return rates_; }
  /// What the table of leases holds: the limits of requests in flight.
  [[nodiscard]] const Layout& leases() const noexcept { return leases_; }
  [[nodiscard]] std::span<const Ceiling> ceilings() const noexcept { return ceilings_; }
  /// So many new keys a parent network may bring, if that is bounded. Its state lies behind the
  /// rates in the slots of the table of parents.
  [[nodiscard]] const std::optional<BoundLimit>& new_keys() const noexcept { return new_keys_; }
  /// What the table of parents holds: the rates, and behind them the new keys. No slot bytes: no
  /// client is ever charged on its parent network.
  [[nodiscard]] const Layout& parents() const noexcept { return parents_; }
  /// Whether the sketch folds on where more offenders were evicted than it can tell from newcomers.
  [[nodiscard]] bool protect() const noexcept { return protect_; }
  /// Whether requests pass where the rule's state cannot be had, instead of being denied.
  [[nodiscard]] bool fails_open() const noexcept { return fails_open_; }
  /// The part of the memory that the sketch takes, in millionths.
  [[nodiscard]] std::uint32_t sketch_ppm() const noexcept { return sketch_ppm_; }
  /// Of the `when` of variant i + 1: tells it from others wherever it stands in the file.
  [[nodiscard]] std::uint64_t OverrideHash(std::size_t i) const noexcept {
    return overrides_[i].hash;
  }
  [[nodiscard]] const std::optional<Penalty>& penalty() const noexcept { return penalty_; }
  /// Bytes of a request's body beyond which 413 answers; 0: no bound of the rule's own.
  /// Policy::MaxBody says which bound a request has.
  [[nodiscard]] std::uint64_t max_body() const noexcept { return max_body_; }
  /// Whether the rule is enforced and bounds a body more tightly than `max_body` (0: no bound).
  [[nodiscard]] bool Tightens(std::uint64_t max_body) const noexcept {
    return mode_ == Mode::kEnforce && max_body_ > 0 && (max_body == 0 || max_body_ < max_body);
  }
  [[nodiscard]] const Match& match() const noexcept { return match_; }
  [[nodiscard]] std::span<const KeyPart> key() const noexcept { return key_; }
  [[nodiscard]] const Cost& cost() const noexcept { return cost_; }

 private:
  friend class RuleCompiler;
  Rule() = default;
  [[nodiscard]] std::uint8_t FindVariant(const Request& request) const noexcept;
  [[nodiscard]] SipHasher FeedKey(const HashSecret& secret, const Request& request,
                                  const IpAddress& client) const noexcept;
  [[nodiscard]] std::uint64_t FinishKey(SipHasher hasher, std::uint8_t variant) const noexcept;

  std::string name_;
  std::uint64_t name_hash_ = 0;
  Mode mode_ = Mode::kEnforce;
  std::size_t memory_ = 0;
  Match match_;
  Who exempt_;
  std::vector<Who> overrides_;  // Variant i + 1.
  std::vector<KeyPart> key_;
  Cost cost_;
  std::vector<LimitSet> variants_;
  Layout rates_;
  Layout leases_;
  std::vector<Ceiling> ceilings_;
  std::optional<BoundLimit> new_keys_;
  Layout parents_;
  bool protect_ = false;
  bool fails_open_ = false;
  std::uint32_t sketch_ppm_ = 0;
  std::optional<Penalty> penalty_;
  std::uint64_t max_body_ = 0;
};

}  // namespace sluicegate::policy
