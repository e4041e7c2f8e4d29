// The bytes of a state file's regions: whatever is in them, who attaches decides, takes over, gives
// back, reports and looks into all of them, and every decision is well formed and comes true. A
// rule whose regions are whole counts as if nothing had happened.
//
// An input's first byte says who uses the file. A list of edits of a good one follows: a byte says
// in which of its parts (a region with its description, or something that lies before all regions),
// two where in that, one how many bytes to write, and so many bytes follow.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/siphash.h"
#include "base/temporary_folder_for_test.h"
#include "config/load.h"
#include "engine/contents.h"
#include "engine/engine.h"
#include "fuzz_target.h"
#include "sluicegate/limiter.h"
#include "table/state_file.h"

using sluicegate::Clock;
using sluicegate::Decision;
using sluicegate::HashSecret;
using sluicegate::IpAddress;
using sluicegate::Limit;
using sluicegate::Limiter;
using sluicegate::Now;
using sluicegate::Request;
using sluicegate::Stamp;
using sluicegate::TemporaryFolder;
using sluicegate::Verdict;
using sluicegate::engine::Engine;
using sluicegate::engine::Receipt;
using sluicegate::fuzz::Require;
using sluicegate::table::Machine;
using sluicegate::table::StateContents;
using sluicegate::table::StateEntry;
using sluicegate::table::StateFile;
using PolicyPtr = std::shared_ptr<const sluicegate::policy::Policy>;

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
// Later than any machine that this runs on has been up, so that no region is over meanwhile.
constexpr Now kNow{.engine_ns = 1'000'000'000 * kSecond, .unix_ns = 1'800'000'000'000'000'000};

Now After(std::int64_t seconds) {
  const std::int64_t ns = seconds * static_cast<std::int64_t>(kSecond);
  return {.engine_ns = kNow.engine_ns + static_cast<std::uint64_t>(ns),
          .unix_ns = kNow.unix_ns + ns};
}

// All kinds of limits, and all that a rule can have beside them.
constexpr std::string_view kPolicy = R"(
state: {memory: 20KiB}
rules:
  - name: api
    match: {path: /api}
    key: [client]
    limits: [6/minute, 70000/5200w, {burst: 4, refill: 1/s}, {concurrency: 4, lease: 20s},
             {limit: 40/hour, algorithm: fixed_window}]
    ceilings: {56: x4}
    new_keys: 100/minute
    overrides: [{when: {user: acme}, limits: [9/hour, {concurrency: 3}]}]
    penalty: {violations: 2, within: 1m, ban: 5m, escalate: [1, 6]}
  - name: calm
    match: {path: /calm}
    key: [client]
    limits: [3/minute]
    memory: 2KiB
)";

// The same rules with nothing where it was.
constexpr std::string_view kOther = R"(
state: {memory: 32KiB}
rules:
  - name: api
    match: {path: /api}
    key: [client]
    limits: [{burst: 5, refill: 1/2s}, {limit: 40/hour, algorithm: fixed_window}, 70/minute, 50/5200w,
             {concurrency: 70000, lease: 30s}]
    ceilings: {56: x2, 48: x4}
    new_keys: 50/minute
    overrides: [{when: {user: [bob]}, limits: [5/hour]}, {when: {user: acme}, limits: [9/hour]}]
    penalty: {violations: 3, within: 1m, ban: 1m}
  - name: calm
    match: {path: /calm}
    key: [client]
    limits: [1000/day, 3/minute]
    memory: 4KiB
)";

PolicyPtr Parse(std::string_view yaml) {
  const auto policy = sluicegate::config::ParsePolicy(yaml);
  if (!policy) {
    std::fputs(policy.error()[0].what.c_str(), stderr);
    std::abort();
  }
  return *policy;
}

const PolicyPtr& SamePolicy() {
  static const PolicyPtr policy = Parse(kPolicy);
  return policy;
}

const PolicyPtr& OtherPolicy() {
  static const PolicyPtr policy = Parse(kOther);
  return policy;
}

Request Of(std::uint8_t client, std::string_view path = "/api") {
  return {.client = IpAddress::V4({10, 0, 0, client}), .method = "GET", .path = path, .cost = 1};
}

Request OfV6(std::uint8_t network) {
  Request request = Of(0);
  request.client = IpAddress::V6({0x20, 0x01, 0xd, 0xb8, 0, 0, network});
  return request;
}

Request OfAcme(std::uint8_t client) {
  Request request = Of(client);
  request.user = "acme";
  return request;
}

// The library reads its clock itself.
class StoppedClock final : public Clock {
 public:
  explicit StoppedClock(Now now) : now_(now) {}
  [[nodiscard]] Now Read() const noexcept override { return now_; }

 private:
  const Now now_;
};

std::expected<Limiter, std::string> MakeLimiter(const std::string& path, const Clock& clock) {
  const auto limits = std::to_array<Limit>({*Limit::Parse("5/10s"), *Limit::Parse("70000/5200w"),
                                            Limit::Burst(4, "1/s"), Limit::Concurrency(2)});
  return Limiter::Create(
      limits, {.memory_bytes = 6144, .clock = &clock, .state_file = path, .name = "library"});
}

Decision Ask(Engine& engine, const Request& request, Now now, Receipt& receipt) {
  const auto decision = engine.Decide(*engine.rulesets().Get(), request, now, &receipt);
  Require(decision.has_value());  // No reload is under way.
  return *decision;
}

// One that is over at once, unless it is to stay in flight.
void Spend(Engine& engine, Request request, std::uint64_t cost, bool stays = false) {
  Receipt receipt;
  request.cost = cost;
  (void)Ask(engine, request, kNow, receipt);
  for (std::size_t i = 0; i < receipt.size && !stays; ++i) {
    const Stamp& charge = receipt.charges[i];
    if (charge.lease) engine.GiveBack(*engine.rulesets().Get(), charge, kNow);
  }
}

// More keys at their limits than have a place, more in flight, and one that is banned.
void Populate(const std::string& path) {
  std::vector<std::string> lines;
  const std::shared_ptr<StateFile> file = std::move(*StateFile::Open(path));
  const auto engine = std::move(*Engine::Attach(SamePolicy(), file, kNow, lines));
  for (std::uint8_t client = 0; client < 60; ++client) {
    Spend(*engine, Of(client), 4);
    Spend(*engine, OfV6(client), 4);
  }
  for (std::uint8_t client = 60; client < 120; ++client) {
    Spend(*engine, OfAcme(client), 1, true);
    Spend(*engine, Of(client), 1, true);
  }
  for (unsigned times = 0; times < 9; ++times) Spend(*engine, Of(1), 1);
  Spend(*engine, Of(1, "/calm"), 2);
  const StoppedClock clock(kNow);
  Limiter limiter = std::move(*MakeLimiter(path, clock));
  for (const std::string_view key : {"ada", "ada", "bob", "ada", "eve"}) (void)limiter.Check(key);
  file->Keep(kNow);
}

// In memory where the system has such a place, as a disk takes most of the time.
std::filesystem::path Memory() {
  return std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
}

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// With one secret for all runs, so that an input always meets the same keys.
std::string MakeGoodFile() {
  const TemporaryFolder folder(Memory());
  const std::string path = folder / "state";
  if (!StateFile::Open(path)) std::abort();
  std::string fresh = Read(path);
  fresh.replace(offsetof(StateContents, head.secret), sizeof(HashSecret), "0123456789abcdef");
  Write(path, fresh);
  Populate(path);
  return Read(path);
}

// What of a file is edited.
struct Part {
  std::size_t at = 0;
  std::size_t bytes = 0;
  bool before_regions = false;
};

struct Good {
  std::string bytes;
  std::vector<Part> parts;
};

Good DescribeGoodFile() {
  Good good{.bytes = MakeGoodFile(), .parts = {}};
  StateContents& contents = *reinterpret_cast<StateContents*>(good.bytes.data());
  std::size_t entries = 0;
  for (const StateEntry& entry : contents.directory) {
    if (entry.is_free()) continue;
    ++entries;
    if (entry.Name().starts_with("calm/")) continue;
    good.parts.push_back({.at = entry.offset, .bytes = entry.bytes + entry.description_bytes});
  }
  const auto before = [&](std::size_t at, std::size_t bytes) {
    good.parts.push_back({.at = at, .bytes = bytes, .before_regions = true});
  };
  before(0, sizeof(contents.head));
  before(offsetof(StateContents, owners), 2 * sizeof(contents.owners.slots[0]));
  before(offsetof(StateContents, owners.parts), entries * sizeof(contents.owners.parts[0]));
  before(offsetof(StateContents, directory), entries * sizeof(StateEntry));
  return good;
}

struct Damaged {
  std::string bytes;
  bool in_regions_alone = true;
};

Damaged Edited(std::string_view edits) {
  static const Good good = DescribeGoodFile();
  constexpr std::size_t kHead = 4;
  Damaged damaged{.bytes = good.bytes};
  while (edits.size() >= kHead) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(edits[i]); };
    const Part& part = good.parts[byte(0) % good.parts.size()];
    const std::size_t within = (byte(1) + byte(2) * std::size_t{256}) % part.bytes;
    const std::string_view patch = edits.substr(kHead, byte(3));
    edits.remove_prefix(kHead + patch.size());
    const std::size_t fits = std::min(patch.size(), part.bytes - within);
    damaged.bytes.replace(part.at + within, fits, patch.substr(0, fits));
    if (part.before_regions && fits > 0) damaged.in_regions_alone = false;
  }
  return damaged;
}

void CheckRule(const Decision& decision, const Engine& engine) {
  const auto& rules = engine.rulesets().Get()->policy().rules();
  if (decision.rule == Decision::kNone) return;
  Require(decision.rule < rules.size());
  const auto& sets = rules[decision.rule].variants();
  Require(decision.variant < sets.size());
  if (decision.limit == Decision::kNone) return;
  const auto& limits = sets[decision.variant].limits;
  Require(decision.limit < limits.size());
  Require(decision.denied_limits >> limits.size() == 0);
}

void CheckDecision(const Decision& decision) {
  Require(decision.hold_ns <= decision.reset_after_ns);
  Require(decision.remaining <= decision.quota);
  if (decision.allowed()) {
    Require(decision.retry_after_ns == 0 && decision.denied_limits == 0);
    return;
  }
  Require(decision.verdict == Verdict::kLimited || decision.verdict == Verdict::kBanned);
  Require(decision.retry_after_ns > 0 && decision.stamp.cost == 0);
}

// A limited client is let in when it was told to come back, unless its network stands in for it
// then, or nothing can be known of it.
void CheckRetry(const Decision& decision, Engine& engine, const Request& request, Now now) {
  constexpr std::uint64_t kYear = 365 * 86'400 * kSecond;
  const bool told = decision.verdict == Verdict::kLimited && decision.limit != Decision::kNone;
  if (!told || decision.retry_after_ns > kYear) return;
  now.engine_ns += decision.retry_after_ns;
  now.unix_ns += static_cast<std::int64_t>(decision.retry_after_ns);
  static Receipt receipt;
  const Decision again = Ask(engine, request, now, receipt);
  const bool unknown = again.verdict == Verdict::kLimited && again.limit == Decision::kNone;
  Require(again.allowed() || again.shared_bits != 0 || unknown);
}

// Locks that a living process seems to hold cost a tenth of a second each: an input is not asked
// further after some.
bool IsStuck(StateFile& file) {
  constexpr std::uint64_t kMost = 4;
  return file.owners().stuck() > kMost;
}

// All that a client may ask, at one time.
void AskAll(Engine& engine, StateFile& file, Now now, std::vector<Stamp>& charges) {
  static const auto requests =
      std::to_array<Request>({Of(1), Of(2), Of(4), OfAcme(4), OfV6(2), OfV6(255), Of(254)});
  static Receipt receipt;
  for (Request request : requests) {
    for (const std::uint64_t cost : {0U, 1U, 3U, 100'000U}) {
      if (IsStuck(file)) return;
      request.cost = cost;
      const Decision decision = Ask(engine, request, now, receipt);
      CheckDecision(decision);
      CheckRule(decision, engine);
      CheckRetry(decision, engine, request, now);
      charges.insert(charges.end(), receipt.charges.begin(),
                     receipt.charges.begin() + receipt.size);
    }
  }
}

// Each charge is given back at the time after its own, the last ones never.
void Use(Engine& engine, StateFile& file) {
  const auto times = {kNow,         After(1),         After(-30),          After(70),
                      After(7'200), After(2'678'400), After(7'000'000'000)};
  std::vector<Stamp> charges;
  for (const Now now : times) {
    for (const Stamp& charge : std::exchange(charges, {})) {
      if (IsStuck(file)) return;
      engine.GiveBack(*engine.rulesets().Get(), charge, now);
    }
    AskAll(engine, file, now, charges);
    if (IsStuck(file)) return;
    (void)engine.Statistics(now);
  }
}

// Of three units one client has used two, and another none. What is given back may go astray, as
// another table may have this one's id.
void CheckCalm(Engine& engine, std::uint8_t fresh) {
  Receipt receipt;
  Request known = Of(1, "/calm");
  known.cost = 0;
  Require(Ask(engine, known, kNow, receipt).remaining == 1);
  const Decision first = Ask(engine, Of(fresh, "/calm"), kNow, receipt);
  Require(first.allowed() && first.remaining == 2 && receipt.size == 1);
}

using FilePtr = std::shared_ptr<StateFile>;

void LookIntoAll(StateFile& file) {
  const auto regions = file.MapAll();
  Require(regions.has_value());
  for (const StateFile::Region& region : *regions) {
    if (IsStuck(file)) return;
    (void)sluicegate::engine::LookInto(region, file.owners(), kNow);
  }
}

// Nothing: it is refused, or what must be taken over is held.
std::unique_ptr<Engine> Attach(const FilePtr& file, const PolicyPtr& policy, bool must) {
  std::vector<std::string> lines;
  auto engine = Engine::Attach(policy, file, kNow, lines);
  Require(engine.has_value() || !must || file->owners().stuck() > 0);
  return engine ? std::move(*engine) : nullptr;
}

FilePtr Open(const std::string& path, bool must) {
  static const Machine machine = Machine::Here();
  auto file = StateFile::OpenCopy(path, machine);
  Require(file.has_value() || !must);
  return file ? std::move(*file) : nullptr;
}

// Under one policy after the other.
void UseEngines(const std::string& path, bool whole, std::initializer_list<PolicyPtr> policies) {
  const FilePtr file = Open(path, whole);
  if (file == nullptr) return;
  LookIntoAll(*file);
  std::uint8_t fresh = 2;
  for (const PolicyPtr& policy : policies) {
    const auto engine = Attach(file, policy, whole);
    if (engine == nullptr) return;
    if (whole) CheckCalm(*engine, fresh++);
    Use(*engine, *file);
  }
}

void UseLimiter(const std::string& path) {
  const StoppedClock clock(kNow);
  auto limiter = MakeLimiter(path, clock);
  if (!limiter) return;
  for (const std::string_view key : {"ada", "bob", "eve", "new"}) {
    const Decision decision = limiter->Check(key);
    CheckDecision(decision);
    Require(decision.limit < limiter->limits().size());
    if (decision) limiter->Release(decision);
    if (decision) limiter->GiveBack(decision);
  }
  (void)limiter->evictions();
}

}  // namespace

SG_FUZZ_TARGET(region_bytes) {
  static const TemporaryFolder folder(Memory());
  static const std::string path = folder / "state";
  const unsigned who = bytes.empty() ? 0 : static_cast<std::uint8_t>(bytes.front()) % 3;
  const Damaged damaged = Edited(bytes.substr(std::min<std::size_t>(1, bytes.size())));
  Write(path, damaged.bytes);
  if (who == 0) UseEngines(path, damaged.in_regions_alone, {SamePolicy(), OtherPolicy()});
  if (who == 1) UseEngines(path, damaged.in_regions_alone, {OtherPolicy()});
  if (who == 2) UseLimiter(path);
}
