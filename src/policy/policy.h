// A policy: what a configuration means, compiled once, constant for ever, swapped whole. Immutable,
// so thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/siphash.h"
#include "limit/compiled_limit.h"
#include "policy/config.h"
#include "policy/request.h"
#include "policy/settings.h"

namespace sluicegate::policy {

/// Bounds. A configuration beyond one of them is refused with the number.
inline constexpr std::size_t kMaxRules =
    32;  ///< All may match one request; each holds one bucket lock then.
inline constexpr std::size_t kMaxLimitsPerRule = 8;
inline constexpr std::size_t kMaxOverridesPerRule = 64;
inline constexpr std::size_t kMaxKeyParts = 8;

enum class Mode : std::uint8_t { kOff, kObserve, kEnforce };

/// One limit of a rule, and where its state lies in the rule's slots.
struct RuleLimit {
  limit::CompiledLimit limit;
  std::size_t offset = 0;  ///< Bytes from the slot's first, a multiple of 8.
  std::string name;  ///< For fields and metrics: from the configuration, so never a client's words.
};

/// The limits that apply together: a rule's own, or an override's.
struct LimitSet {
  std::vector<RuleLimit> limits;
  std::size_t state_bytes = 0;
};

/// Bans that repeated violations earn. Counted by a token bucket of `violations` per `within`.
struct Penalty {
  std::uint64_t violations = 0;
  Duration within{};
  Duration ban{};
  std::vector<std::uint32_t> escalate;  ///< ban x escalate[level]; never empty.
};

/// The units a request takes.
struct Cost {
  std::uint64_t fallback = 1;
  std::optional<std::size_t>
      argument;  ///< Index into Policy::asked_arguments: an MCP argument that names the cost.
  std::uint64_t max = 1;
};

class Rule {
 public:
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] Mode mode() const noexcept;
  [[nodiscard]] std::size_t memory()
      const noexcept;  ///< Bytes for the rule's table (its share when not set).
  [[nodiscard]] bool Matches(const Request& request) const noexcept;
  [[nodiscard]] bool Exempts(const Request& request) const noexcept;
  /// Which limit set applies: 0 is the rule's own, i+1 the first override whose `when` holds.
  [[nodiscard]] std::uint8_t VariantOf(const Request& request) const noexcept;
  /// The keyed hash of the request's key under this rule. Parts are typed and length-prefixed, so
  /// different keys are different messages; an absent part falls back to the client's address;
  /// `key: []` is one shared bucket.
  [[nodiscard]] std::uint64_t HashKey(const HashSecret& secret, const Request& request,
                                      std::uint8_t variant) const noexcept;
  [[nodiscard]] std::uint64_t CostOf(const Request& request) const noexcept;
  [[nodiscard]] std::span<const LimitSet> variants() const noexcept;  ///< Never empty.
  [[nodiscard]] std::size_t slot_bytes() const noexcept;  ///< The largest variant's state_bytes.
  [[nodiscard]] const std::optional<Penalty>& penalty() const noexcept;
};

class Policy {
 public:
  /// Checks a configuration and compiles it. On failure every mistake is told at once; warnings do
  /// not fail.
  [[nodiscard]] static std::expected<std::shared_ptr<const Policy>, std::vector<Mistake>> Compile(
      const Config& config);

  [[nodiscard]] bool enabled() const noexcept;  ///< false: every request is allowed.
  [[nodiscard]] std::span<const Rule> rules()
      const noexcept;  ///< In the file's order, kOff included.
  [[nodiscard]] const Settings& settings()
      const noexcept;  ///< What the doors need: listeners, upstream, ...
  [[nodiscard]] std::span<const std::string> asked_headers()
      const noexcept;  ///< Lower case; Request::headers' order.
  [[nodiscard]] std::span<const std::string> asked_arguments()
      const noexcept;  ///< Request::mcp_arguments' order.
  [[nodiscard]] std::span<const Mistake> warnings() const noexcept;
};

}  // namespace sluicegate::policy
