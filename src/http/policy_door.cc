#include <algorithm>
#include <iterator>
#include <utility>

#include "http/denial.h"
#include "http/local_answer.h"
#include "http/local_door.h"
#include "wire/path.h"

namespace sluicegate::http {
namespace {

void Describe(const engine::Ruleset& rules, const Decision& decision, QuotaFields& fields,
              Binding& binding) {
  if (decision.rule == Decision::kNone) return;
  const policy::Rule& rule = rules.policy().rules()[decision.rule];
  binding.rule = rule.name();
  if (decision.limit == Decision::kNone) return;
  if (!CountsInFlight(rules, decision)) {
    binding.window_ns = rule.variants()[decision.variant].limits[decision.limit].limit.window_ns();
  }
  if (decision.verdict != Verdict::kLimited) return;
  const auto violated = fields.Violated(rules, decision);
  binding.violated.assign(violated.begin(), violated.end());
}

}  // namespace

std::expected<std::unique_ptr<PolicyDoor>, std::string> PolicyDoor::Create(
    Parts parts, std::vector<std::string>& lines) {
  auto state_clock = parts.file == nullptr ? nullptr : parts.file->ClockBy(*parts.clock);
  auto engine = parts.file == nullptr
                    ? engine::Engine::Create(parts.policy, HashSecret::Random())
                    : engine::Engine::Attach(parts.policy, parts.file, state_clock->Read(), lines);
  if (!engine) return std::unexpected(std::move(engine.error()));
  return std::unique_ptr<PolicyDoor>(
      new PolicyDoor(std::move(parts), std::move(state_clock), std::move(*engine)));
}

PolicyDoor::PolicyDoor(Parts parts, std::unique_ptr<const Clock> state_clock,
                       std::unique_ptr<engine::Engine> engine)
    : parts_(std::move(parts)),
      state_clock_(std::move(state_clock)),
      clock_(state_clock_ == nullptr ? *parts_.clock : *state_clock_),
      engine_(std::move(engine)),
      identities_(parts_.identities) {}

Now PolicyDoor::Read() {
  const Now now = clock_.Read();
  if (parts_.file != nullptr) time_keeper_.Keep(*parts_.file, now);
  return now;
}

Vouchers PolicyDoor::VouchersAt(Now now) {
  return {.known = identities_.get(), .verified = &verified_, .now = now};
}

LocalAnswer PolicyDoor::DecideUnder(const engine::Ruleset& rules, const Request& request, Now now,
                                    bool& decided) {
  LocalAnswer answer;
  engine::Receipt* const receipt = rules.has_leases() ? &receipt_ : nullptr;
  const auto decision = engine_->Decide(rules, request, now, receipt);
  decided = decision.has_value();
  if (!decided) return answer;
  answer.decision = *decision;
  if (receipt != nullptr) {
    std::copy_if(receipt->charges.begin(),
                 receipt->charges.begin() + static_cast<std::ptrdiff_t>(receipt->size),
                 std::back_inserter(answer.held), [](const Stamp& stamp) { return stamp.lease; });
  }
  return answer;
}

LocalAnswer PolicyDoor::Ask(const LocalRequest& request) {
  const std::lock_guard lock(mu_);
  path_.clear();
  const std::string escaped = EscapedPath(request.path);
  if (const auto query = wire::NormalizePath(escaped, path_); !query) {
    return Refused(query.error());
  }
  const IpAddress peer = ParsePeer(request.peer);
  const Now now = Read();
  for (;;) {  // Again only where a reload moved the rules' tables in that moment.
    const auto rules = engine_->rulesets().Get();
    const Request read =
        reader_.Read(rules->policy(), VouchersAt(now),
                     {.peer = peer,
                      .method = request.method,
                      .path = path_,
                      .authority = wire::FindField(request.fields, "host").value_or(""),
                      .fields = request.fields});
    bool decided = false;
    LocalAnswer answer = DecideUnder(*rules, read, now, decided);
    if (!decided) continue;
    QuotaLines lines;
    fields_.Append(*rules, read, answer.decision, now, lines);
    answer.fields = lines.lines + lines.epoch;
    if (!answer.decision.allowed()) {
      Deny(ProblemOf(*rules, answer.decision, fields_), now, answer);
    }
    return answer;
  }
}

// The request, as the fields of the one that brought it have it.
Request PolicyDoor::WithHead(const policy::Policy& policy, const Request& request,
                             std::span<const wire::Field> fields, Now now) {
  Request read = reader_.Read(policy, VouchersAt(now),
                              {.peer = request.client,
                               .method = {},
                               .path = {},
                               .authority = wire::FindField(fields, "host").value_or(""),
                               .fields = fields});
  if (!request.user.empty()) read.user = request.user;
  read.mcp_method = request.mcp_method;
  read.mcp_tool = request.mcp_tool;
  read.mcp_arguments = request.mcp_arguments;
  read.cost = request.cost;
  return read;
}

LocalAnswer PolicyDoor::Decide(const Request& request, std::span<const wire::Field> fields,
                               Binding& binding) {
  const std::lock_guard lock(mu_);
  const Now now = Read();
  for (;;) {
    const auto rules = engine_->rulesets().Get();
    const Request read = fields.empty() ? request : WithHead(rules->policy(), request, fields, now);
    bool decided = false;
    LocalAnswer answer = DecideUnder(*rules, read, now, decided);
    if (!decided) continue;
    Describe(*rules, answer.decision, fields_, binding);
    return answer;
  }
}

void PolicyDoor::End(const LocalAnswer& answer) noexcept {
  if (answer.held.empty()) return;
  const auto newest = engine_->rulesets().Get();  // A reload may have moved them.
  const Now now = clock_.Read();
  for (const Stamp& lease : answer.held) engine_->GiveBack(*newest, lease, now);
}

std::expected<std::vector<std::string>, std::string> PolicyDoor::Publish(
    std::shared_ptr<const policy::Policy> policy,
    std::shared_ptr<const identity::Identities> identities) {
  auto lines = engine_->Publish(std::move(policy), clock_.Read());
  if (!lines) return lines;
  const std::lock_guard lock(mu_);
  identities_ = std::move(identities);
  return lines;
}

std::vector<engine::RuleReport> PolicyDoor::Counts() const {
  return engine_->Counts(clock_.Read());
}

std::shared_ptr<const policy::Policy> PolicyDoor::policy() const {
  return engine_->rulesets().Get()->shared_policy();
}

}  // namespace sluicegate::http
