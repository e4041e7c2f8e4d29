#include "gateway/worker.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <iterator>
#include <span>
#include <utility>

#include "gateway/session.h"

namespace sluicegate::gateway {
namespace {

constexpr std::chrono::seconds kSweep{1};

}  // namespace

Worker::Worker(Shared& shared)
    : shared_(shared),
      rules_(shared.engine.rulesets()),
      upstream_(shared.upstream),
      identities_(shared.identities),
      certificates_(shared.certificates),
      sweep_(loop_.timers(), [this] { Sweep(); }) {}

Worker::~Worker() {
  for (const auto& listener : listeners_) listener->Close();
  pool_.Clear();
  sweep_.Clear();
  on_empty_ = nullptr;
  for (Session* session : sessions_) session->Abort();
  // Their coroutines end by themselves when what they wait for is aborted.
  loop_.RunReady();
}

void Worker::Serve(std::unique_ptr<net::Listener> listener, Door door) {
  net::Listener* const taken = listeners_.emplace_back(std::move(listener)).get();
  loop_.Post([this, taken, door] {
    taken->Start([this, door](net::FileDescriptor connection, const IpAddress& peer) {
      counters_.Add(Event::kConnections);
      auto session = std::make_shared<Session>(*this, std::move(connection), peer, door);
      sessions_.insert(session.get());
      session->Start();
    });
  });
}

void Worker::Drain(std::function<void()> on_empty) {
  on_empty_ = std::move(on_empty);
  draining_ = true;
  for (const auto& listener : listeners_) listener->Close();
  pool_.Clear();
  for (Session* session : sessions_) session->OnDrain();
  TellWhenEmpty();
}

void Worker::Rest(UpstreamPtr connection) {
  pool_.Return(std::move(connection));
  if (!sweep_.set()) sweep_.Set(kSweep);
}

void Worker::Sweep() {
  SweepPool();
  if (!pool_.empty()) sweep_.Set(kSweep);
}

void Worker::TakeReload() {
  rules_.Refresh();
  identities_.Refresh();
  certificates_.Refresh();
  SweepPool();
}

void Worker::SweepPool() {
  static_cast<void>(balancer());  // It learns of a reload.
  pool_.Sweep(*upstream_);
}

std::unique_ptr<net::TlsSession> Worker::AcceptTls(const Door& door) {
  certificates_.Refresh();
  const auto& contexts = certificates_->listeners;
  if (door.place >= contexts.size() || contexts[door.place] == nullptr) return nullptr;
  return contexts[door.place]->Accept();
}

void Worker::Forget(Session& session) {
  counters_.Add(Event::kConnectionsClosed);
  sessions_.erase(&session);
  TellWhenEmpty();
}

void Worker::TellWhenEmpty() {
  if (!draining_ || !sessions_.empty() || !on_empty_) return;
  const auto tell = std::exchange(on_empty_, nullptr);
  tell();
}

std::optional<Decision> Worker::Decide(const engine::Ruleset& rules, const Request& request,
                                       Now now, std::vector<Stamp>& leases) {
  using SteadyClock = std::chrono::steady_clock;
  constexpr std::uint32_t kSampled = 64;
  assert(leases.empty());
  const bool sampled = ++decisions_ % kSampled == 0;
  engine::Receipt* const receipt = rules.has_leases() ? &receipt_ : nullptr;
  const auto start = sampled ? SteadyClock::now() : SteadyClock::time_point();
  const std::optional<Decision> decision = shared_.engine.Decide(rules, request, now, receipt);
  if (sampled) {
    const std::chrono::nanoseconds took = SteadyClock::now() - start;
    shared_.engine.ObserveLatency(static_cast<std::uint64_t>(took.count()));
  }
  if (receipt == nullptr) return decision;
  const std::span<const Stamp> charges(receipt->charges.data(), receipt->size);
  std::ranges::copy_if(charges, std::back_inserter(leases), &Stamp::lease);
  return decision;
}

std::optional<Decision> Worker::DecideMessages(const engine::Ruleset& rules, const Request& sender,
                                               Now now, std::vector<Stamp>& leases) {
  assert(leases.empty());
  const std::optional<Decision> decision = mcp_.Decide(shared_.engine, rules, sender, now, leases);
  if (decision) mcp_.Count(shared_.tools, !decision->allowed(), now);
  return decision;
}

std::optional<Decision> Worker::FindBan(const engine::Ruleset& rules, const Request& request,
                                        Now now) {
  return shared_.engine.FindBan(rules, request, now);
}

void Worker::Renew(std::vector<Stamp>& leases) {
  const engine::Ruleset& newest = rules();
  const Now now = this->now();
  for (Stamp& lease : leases) shared_.engine.Renew(newest, lease, now);
}

void Worker::GiveBack(std::vector<Stamp>& leases) {
  if (leases.empty()) return;
  const engine::Ruleset& newest = rules();  // A reload may have moved what they were taken from.
  const Now now = this->now();
  for (const Stamp& lease : leases) shared_.engine.GiveBack(newest, lease, now);
  leases.clear();
}

void Worker::TellDenial(const engine::Ruleset& rules, const Decision& decision, Now now) {
  counters_.Add(Event::kDenied);
  if (!shared_.on_denial || decision.rule == Decision::kNone) return;
  const policy::Rule& rule = rules.policy().rules()[decision.rule];
  DenialEvent event{.verdict = decision.verdict,
                    .rule = rule.name(),
                    .limit = {},
                    .key_hash = decision.key_hash,
                    .now = now};
  if (decision.limit != Decision::kNone) {
    event.limit = rule.variants()[decision.variant].limits[decision.limit].name;
  }
  shared_.on_denial(event);
}

void Worker::NameRequest(std::string& id) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  id.clear();
  for (unsigned half = 0; half < 2; ++half) {
    SipHasher hasher(names_);
    hasher.UpdateU64(++named_);
    std::uint64_t bits = hasher.Finish();
    for (unsigned i = 0; i < 16; ++i, bits >>= 4U) id += kDigits[bits & 0xFU];
  }
}

void Worker::TellRest(const UpstreamTarget& target, std::string_view why) const {
  if (shared_.on_alarm)
    shared_.on_alarm(target.url + " rests, others stand in: " + std::string(why));
}

void Worker::TellUnreachable(const UpstreamTarget& target, std::string_view why) {
  if (balancer().NoteUnreachable(target, now().engine_ns)) TellRest(target, why);
}

void Worker::TellFailure(const UpstreamTarget& target, std::string_view why) {
  if (balancer().NoteFailure(target, now().engine_ns)) TellRest(target, why);
}

}  // namespace sluicegate::gateway
