#include "gateway/worker.h"

#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <functional>
#include <iterator>
#include <span>
#include <utility>

#include "gateway/session.h"

namespace sluicegate::gateway {
namespace {

constexpr std::chrono::seconds kSweep{1};

// `what` may end sessions, but not before it returns.
template <class What>
void ForEach(const SessionList& sessions, What what) {
  for (SessionList::Member* member = sessions.first(); member != nullptr; member = member->next()) {
    what(static_cast<Session&>(*member));
  }
}

void WriteHex(std::uint64_t bits, std::span<char, 16> text) {
  static constexpr auto kPairs = [] {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::array<std::array<char, 2>, 256> pairs{};
    for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kDigits[i >> 4U], kDigits[i & 15U]};
    return pairs;
  }();
  for (std::size_t i = 0; i < text.size(); i += 2, bits >>= 8U) {
    std::memcpy(&text[i], kPairs[bits & 0xFFU].data(), 2);
  }
}

// So that it is refused rather than closed, which would keep its port busy here.
void Refuse(net::FileDescriptor connection) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

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
  ForEach(sessions_, [](Session& session) { session.Abort(); });
  // Their coroutines end by themselves when what they wait for is aborted.
  loop_.RunReady();
}

void Worker::Serve(std::unique_ptr<net::Listener> listener, Door door) {
  net::Listener* const taken = listeners_.emplace_back(std::move(listener)).get();
  loop_.Post([this, taken, door] {
    taken->Start([this, door](net::FileDescriptor connection, const IpAddress& peer) {
      Accept(std::move(connection), peer, door);
    });
  });
}

// Whoever is refused costs no more than the call to accept and one to close.
void Worker::Accept(net::FileDescriptor connection, const IpAddress& peer, const Door& door) {
  rules_.Refresh();
  shield::ConnectionCaps::Admission admission;
  if (!Trusts(peer)) admission = AdmitClient(peer);
  if (admission.verdict != shield::ConnectionCaps::Verdict::kAdmitted) {
    return Refuse(std::move(connection));
  }
  const std::uint32_t wanted = settings().connections.most;
  const std::uint32_t most =
      wanted == 0 ? shared_.most_connections : std::min(wanted, shared_.most_connections);
  if (shared_.connections.load(std::memory_order_relaxed) >= most && !MakeRoom()) {
    counters_.Add(Event::kRefusedConnections);
    Release(admission.place);
    return Refuse(std::move(connection));
  }
  shared_.connections.fetch_add(1, std::memory_order_relaxed);
  counters_.Add(Event::kConnections);
  const auto session =
      std::make_shared<Session>(*this, std::move(connection), peer, door, admission.place);
  sessions_.Add(*session);
  session->Start();
}

shield::ConnectionCaps::Admission Worker::AdmitClient(const IpAddress& client) {
  const policy::Connections& most = settings().connections;
  const auto admission = shared_.caps.Admit(client, {most.per_client, most.new_per_second}, now());
  if (admission.verdict != shield::ConnectionCaps::Verdict::kAdmitted) {
    counters_.Add(Event::kRefusedConnections);
  }
  return admission;
}

bool Worker::MakeRoom() {
  constexpr unsigned kMostLookedAt = 256;
  SessionList::Member* member = sessions_.first();
  for (unsigned i = 0; i < kMostLookedAt && member != nullptr; ++i) {
    auto& session = static_cast<Session&>(*member);
    member = member->next();
    if (!session.waits_for_client()) {
      sessions_.MoveToEnd(session);  // Else such as it would hide the others for good.
      continue;
    }
    counters_.Add(Event::kEvictedConnections);
    session.Evict();
    return true;
  }
  return false;
}

void Worker::NoteProgress(Session& session) noexcept { sessions_.MoveToEnd(session); }

void Worker::Drain(std::function<void()> on_empty) {
  on_empty_ = std::move(on_empty);
  draining_ = true;
  for (const auto& listener : listeners_) listener->Finish();
  pool_.Clear();
  TellWhenEmpty();
}

void Worker::CloseIdle() {
  closes_idle_ = true;
  ForEach(sessions_, [](Session& session) { session.OnDrain(); });
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
  sessions_.Remove(session);
  shared_.connections.fetch_sub(1, std::memory_order_relaxed);
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
  if (!shared_.on_denial) return;
  if (const auto event = http::EventOf(rules.policy(), decision, now)) shared_.on_denial(*event);
}

void Worker::NameRequest(std::string& id) {
  SipHasher hasher(names_);
  hasher.UpdateU64(++named_);
  std::array<char, 32> text;
  WriteHex(hasher.Finish(), std::span(text).first<16>());
  // An odd factor maps no two numbers to one: a worker never says a name twice.
  WriteHex(named_ * 0x9E3779B97F4A7C15U, std::span(text).last<16>());
  id.assign(text.data(), text.size());
}

void Worker::TellRest(const UpstreamTarget& target, std::string_view why) const {
  if (!shared_.on_alarm) return;
  const char* const what =
      balancer_.alone() ? " fails, and no other stands in: " : " rests, others stand in: ";
  shared_.on_alarm(target.url + what + std::string(why));
}

void Worker::TellUnreachable(const UpstreamTarget& target, std::string_view why) {
  if (balancer().NoteUnreachable(target, now().engine_ns)) TellRest(target, why);
}

void Worker::TellFailure(const UpstreamTarget& target, std::string_view why) {
  if (balancer().NoteFailure(target, now().engine_ns)) TellRest(target, why);
}

}  // namespace sluicegate::gateway
