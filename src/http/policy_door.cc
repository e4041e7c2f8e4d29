#include <algorithm>
#include <iterator>
#include <utility>

#include "base/mcp_denial.h"
#include "http/denial.h"
#include "http/local_answer.h"
#include "http/local_door.h"
#include "http/mcp_words.h"
#include "policy/mcp.h"
#include "wire/path.h"

namespace sluicegate::http {
namespace {

Binding Describe(const engine::Ruleset& rules, const Request& call, const Decision& decision) {
  Binding binding;
  if (decision.rule != Decision::kNone) binding.rule = rules.policy().rules()[decision.rule].name();
  if (decision.allowed()) return binding;
  binding.text = DenialText(rules, decision, WhatIsAsked(call.mcp_method, call.mcp_tool));
  AppendDenialNumbers(DenialNumbers(rules, decision), binding.numbers);
  return binding;
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
    : file_(std::move(parts.file)),
      machine_clock_(std::move(parts.clock)),
      state_clock_(std::move(state_clock)),
      clock_(state_clock_ == nullptr ? *machine_clock_ : *state_clock_),
      engine_(std::move(engine)),
      known_{.policy = std::move(parts.policy), .known = std::move(parts.identities)} {}

Now PolicyDoor::Read() {
  const Now now = clock_.Read();
  if (file_ != nullptr) time_keeper_.Keep(*file_, now);
  return now;
}

Vouchers PolicyDoor::VouchersOf(const policy::Policy& policy, Now now) {
  const bool next = next_known_.policy.get() == &policy;
  return {.known = (next ? next_known_ : known_).known.get(), .verified = &verified_, .now = now};
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
        reader_.Read(rules->policy(), VouchersOf(rules->policy(), now),
                     {.peer = peer,
                      .method = request.method,
                      .path = path_,
                      .authority = wire::FindField(request.fields, "host").value_or(""),
                      .fields = request.fields});
    bool decided = false;
    LocalAnswer answer = DecideUnder(*rules, read, now, decided);
    if (!decided) continue;
    QuotaLines lines;
    fields_.Append(*rules, {&read, 1}, answer.decision, now, lines);
    answer.fields = lines.lines + lines.draft03 + lines.x_ratelimit;
    if (!answer.decision.allowed()) {
      Deny(ProblemOf(*rules, answer.decision, fields_), now, answer);
    }
    return answer;
  }
}

// With its arguments in the order in which the policy asks for them, whichever that is.
Request PolicyDoor::ReadCall(const policy::Policy& policy, const LocalCall& call, Now now) {
  Request read = call.request;
  read.mcp_class = McpClass::kNone;
  if (!read.mcp_method.empty()) {  // An empty one would be an answer to the server.
    read.mcp_class = policy.settings().mcp.ClassOf(read.mcp_method);
    read.places_only = read.places_only || read.mcp_class == McpClass::kStream;
  }
  arguments_.clear();
  for (const std::string& name : policy.asked_arguments()) {
    const auto found = std::ranges::find(call.arguments, name, &Argument::name);
    arguments_.push_back(found == call.arguments.end() ? std::string_view() : found->json);
  }
  read.mcp_arguments = arguments_;
  if (call.fields.empty()) return read;
  const Request head = reader_.Read(policy, VouchersOf(policy, now),
                                    {.peer = call.request.client,
                                     .method = {},
                                     .path = {},
                                     .authority = wire::FindField(call.fields, "host").value_or(""),
                                     .fields = call.fields});
  read.client = head.client;
  read.host = head.host;
  read.headers = head.headers;
  read.api_key_id = head.api_key_id;
  if (read.user.empty()) read.user = head.user;
  return read;
}

LocalAnswer PolicyDoor::Decide(const LocalCall& call, Binding& binding) {
  const std::lock_guard lock(mu_);
  const Now now = Read();
  for (;;) {
    const auto rules = engine_->rulesets().Get();
    const Request read = ReadCall(rules->policy(), call, now);
    bool decided = false;
    LocalAnswer answer = DecideUnder(*rules, read, now, decided);
    if (!decided) continue;
    binding = Describe(*rules, read, answer.decision);
    if (!read.mcp_tool.empty()) tools_.Count(read.mcp_tool, !answer.decision.allowed(), now);
    return answer;
  }
}

std::string PolicyDoor::CallerOf(const LocalCall& call) {
  const std::lock_guard lock(mu_);
  const auto policy = this->policy();
  const Request read = ReadCall(*policy, call, clock_.Read());
  std::string caller = read.client.Client().ToString();
  for (const std::string_view name : {read.api_key_id, read.user}) {
    caller += '\0';
    caller += name;
  }
  return caller;
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
  const std::lock_guard publishing(publishing_);
  {
    const std::lock_guard lock(mu_);
    next_known_ = {.policy = policy, .known = std::move(identities)};
  }
  auto lines = engine_->Publish(std::move(policy), clock_.Read());  // Others decide meanwhile.
  const std::lock_guard lock(mu_);
  if (lines) known_ = std::move(next_known_);
  next_known_ = {};
  return lines;
}

std::vector<engine::RuleReport> PolicyDoor::Counts() const {
  return engine_->Counts(clock_.Read());
}

std::shared_ptr<const policy::Policy> PolicyDoor::policy() const {
  return engine_->rulesets().Get()->shared_policy();
}

}  // namespace sluicegate::http
