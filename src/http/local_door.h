// Local doors: for a server that asks in its own process before it answers a request. They give it
// the fields of its response, or the whole answer of a denial, as the gateway would.
//
// Thread-safe: one request at a time is decided, under a lock. Own what they are made of; neither
// copy nor move.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/time_keeper.h"
#include "engine/tool_statistics.h"
#include "http/quota_fields.h"
#include "http/request_reader.h"
#include "identity/identities.h"
#include "identity/token_cache.h"
#include "policy/policy.h"
#include "sluicegate/limiter.h"
#include "table/state_file.h"

namespace sluicegate::http {

/// What the server knows of a request. Views that outlive the call.
struct LocalRequest {
  std::string_view peer;  ///< As ParsePeer reads it.
  std::string_view method;
  std::string_view path;  ///< Decoded, without the query.
  std::span<const wire::Field> fields;
};

/// The address of a peer, without its zone ("fe80::1%eth0"). Anything else is nobody known: the
/// unspecified address. Pure.
[[nodiscard]] IpAddress ParsePeer(std::string_view text) noexcept;

/// What the server is to do. A value type.
struct LocalAnswer {
  Decision decision;
  std::uint16_t status = 0;  ///< Of a denial; 0: the request passes.
  std::string fields;        ///< Lines of the response, CRLF included.
  std::string body;          ///< Of a denial: problem+json.
  std::vector<Stamp> held;   ///< In flight until the door hears of the end.
};

/// What binds a call, in the words of the policy that decided. A value type.
struct Binding {
  std::string rule;  ///< Empty: nothing binds.
  // Of a denial, as a client of MCP is told of it; else empty.
  std::string text;     ///< DenialText.
  std::string numbers;  ///< AppendDenialNumbers.
};

/// An argument of an MCP call, as JSON text.
struct Argument {
  std::string_view name;
  std::string_view json;
};

/// What is no request of HTTP: a tool's call, for example. Views that outlive the call.
struct LocalCall {
  /// Its client is the peer, a user that it has is believed; its `mcp_arguments` and `mcp_class`
  /// count for nothing.
  Request request;
  std::span<const Argument> arguments;  ///< Those that rules may name.
  std::span<const wire::Field> fields;  ///< Of the request of HTTP that brought it; empty: none.
};

class LocalDoor {
 public:
  virtual ~LocalDoor() = default;
  [[nodiscard]] virtual LocalAnswer Ask(const LocalRequest& request) = 0;
  /// The request that got this answer is over. Once for each.
  virtual void End(const LocalAnswer& answer) noexcept = 0;
};

/// Asks a policy.
class PolicyDoor final : public LocalDoor {
 public:
  struct Parts {
    std::shared_ptr<const policy::Policy> policy;
    std::shared_ptr<const identity::Identities> identities;  ///< Null: nobody is vouched for.
    std::shared_ptr<table::StateFile> file;                  ///< Null: its state is in memory.
    std::shared_ptr<const Clock> clock;                      ///< The machine's, or a test's.
  };
  /// `lines` get what a start did not take over of the file. The error says what is wrong with
  /// memory or file, and the mend.
  [[nodiscard]] static std::expected<std::unique_ptr<PolicyDoor>, std::string> Create(
      Parts parts, std::vector<std::string>& lines);

  [[nodiscard]] LocalAnswer Ask(const LocalRequest& request) override;
  void End(const LocalAnswer& answer) noexcept override;

  /// Where fields of HTTP brought the call, the policy says whom to believe. The answer has no
  /// fields.
  [[nodiscard]] LocalAnswer Decide(const LocalCall& call, Binding& binding);
  /// Who calls, by the policy: two callers are the same if their client, user and API key are.
  [[nodiscard]] std::string CallerOf(const LocalCall& call);
  /// As Engine::Publish; its lines or error. The identities are the policy's: they come with it;
  /// null: nobody is known.
  [[nodiscard]] std::expected<std::vector<std::string>, std::string> Publish(
      std::shared_ptr<const policy::Policy> policy,
      std::shared_ptr<const identity::Identities> identities);
  [[nodiscard]] std::vector<engine::RuleReport> Counts() const;
  /// Of the tools that Decide heard of.
  [[nodiscard]] engine::ToolStatistics& tools() noexcept { return tools_; }
  [[nodiscard]] std::shared_ptr<const policy::Policy> policy() const;

 private:
  // Who is known, and the policy that says so.
  struct Known {
    std::shared_ptr<const policy::Policy> policy;
    std::shared_ptr<const identity::Identities> known;
  };

  PolicyDoor(Parts parts, std::unique_ptr<const Clock> state_clock,
             std::unique_ptr<engine::Engine> engine);
  [[nodiscard]] Now Read();
  [[nodiscard]] Vouchers VouchersOf(const policy::Policy& policy, Now now);
  [[nodiscard]] Request ReadCall(const policy::Policy& policy, const LocalCall& call, Now now);
  [[nodiscard]] LocalAnswer DecideUnder(const engine::Ruleset& rules, const Request& request,
                                        Now now, bool& decided);

  const std::shared_ptr<table::StateFile> file_;  // Null: in memory.
  const std::shared_ptr<const Clock> machine_clock_;
  const std::unique_ptr<const Clock> state_clock_;  // Null: in memory.
  const Clock& clock_;
  const std::unique_ptr<engine::Engine> engine_;
  engine::ToolStatistics tools_;
  std::mutex publishing_;  // Taken before mu_.
  std::mutex mu_;
  // Guarded by mu_.
  Known known_;
  Known next_known_;  // Of a policy on its way: it may decide before its publisher is done.
  identity::TokenCache verified_;
  RequestReader reader_;
  QuotaFields fields_;
  std::string path_;
  std::vector<std::string_view> arguments_;
  engine::Receipt receipt_;
  engine::TimeKeeper time_keeper_;
};

/// Asks a limiter, by the client's address or, from a trusted proxy, its user ("user:ada"). Of a
/// trusted proxy that sends no X-Forwarded-For the one X-Real-IP counts. Denials are violations.
class LimiterDoor final : public LocalDoor {
 public:
  struct Options {
    /// Whose settings say who the client is, and which forms the fields have.
    std::shared_ptr<const policy::Policy> clients;
    PrefixSet exempt_clients;
    std::set<std::string, std::less<>> exempt_users;
    std::shared_ptr<const Clock> clock;
    /// Hears of each decision of the limiter, in the thread that asks. An exempt request has none.
    std::function<void(const Decision&)> on_decision;
  };
  /// The limiter outlives it.
  LimiterDoor(Limiter& limiter, Options options);

  [[nodiscard]] LocalAnswer Ask(const LocalRequest& request) override;
  void End(const LocalAnswer& answer) noexcept override;

  /// The lines that tell a client of a decision of the limiter about one unit, as Ask does. Takes
  /// no lock.
  [[nodiscard]] std::string FieldsOf(const Decision& decision) const;
  /// The limiter's key of a request: whom Ask charges, exempt or not.
  [[nodiscard]] std::string KeyFor(const LocalRequest& request);
  /// The limiter's key of an address (an IPv6 client is its /64), or of anything else.
  [[nodiscard]] static std::string KeyOf(std::string_view peer);

 private:
  struct Client {
    IpAddress address;
    std::string user;
  };
  [[nodiscard]] Client ClientOf(const LocalRequest& request);
  [[nodiscard]] static std::string KeyOf(const Client& client);

  Limiter& limiter_;
  const Options options_;
  const HeaderForms forms_;
  std::vector<std::string> names_;   // As a String of RFC 9651 can hold them.
  std::vector<std::string> quoted_;  // As such a String.
  QuotaMembers members_;
  std::string lists_;  // The lines that no decision changes.
  std::mutex mu_;
  RequestReader reader_;  // Guarded by mu_.
};

}  // namespace sluicegate::http
