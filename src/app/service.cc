#include "app/service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "app/admin_readings.h"
#include "app/service_manager.h"
#include "app/version.h"
#include "app/words.h"
#include "base/siphash.h"
#include "net/address.h"

namespace sluicegate::app {
namespace {

constexpr std::chrono::seconds kSecond{1};
// How long clients that keep connections have to ask once more and learn that they go elsewhere.
constexpr std::chrono::seconds kFarewell{5};
// How long those who have connected but not asked have to do so: what others who share the port
// could not answer for them.
constexpr std::chrono::milliseconds kLastCall{200};

// As they are called where sockets are handed down.
constexpr const char* kGatewayDoor = "gateway";
constexpr const char* kAdminDoor = "admin";

bool IsLoopback(const IpAddress& address) { return net::SocketAddress(address, 0).is_loopback(); }

std::string AddressText(const IpAddress& address, std::uint16_t port) {
  return net::SocketAddress(address, port).Text();
}

/// "127.0.0.1:8080", also for a door that listens on every address.
std::string ReachableText(const IpAddress& address, std::uint16_t port) {
  const IpAddress all_v4 = IpAddress::V4({0, 0, 0, 0});
  const bool everywhere = address == all_v4 || address == IpAddress();
  return AddressText(everywhere ? IpAddress::V4({127, 0, 0, 1}) : address, port);
}

bool SameEndpoints(const std::vector<policy::GatewayListener>& a,
                   const std::vector<policy::GatewayListener>& b) {
  return std::ranges::equal(a, b, {}, &policy::GatewayListener::endpoint,
                            &policy::GatewayListener::endpoint);
}

/// Certificates may change, and whether there are any: that is taken over.
bool SameListeners(std::vector<policy::GatewayListener> a, std::vector<policy::GatewayListener> b) {
  for (policy::GatewayListener& listener : a) listener.tls.reset();
  for (policy::GatewayListener& listener : b) listener.tls.reset();
  return a == b;
}

void WarnOfListener(std::string_view door, const policy::Endpoint& listen) {
  if (IsLoopback(listen.address)) return;
  spdlog::warn(
      "start: the {} listens on {}, which is not loopback: everybody who reaches it is served, and "
      "without TLS",
      door, AddressText(listen.address, listen.port));
}

}  // namespace

Service::Service(Options options)
    : source_(std::move(options.source)),
      clock_(options.clock),
      predecessor_(options.predecessor),
      state_(std::move(options.state)),
      threads_(options.threads),
      start_(clock_.Read()),
      opened_(options.first.policy->settings()),
      now_(std::move(options.first)),
      reloads_{.last_good_unix_ns = start_.unix_ns},
      denials_([](const std::string& line) { spdlog::info(line); }, names_),
      accesses_({.names = names_, .warn = [](const std::string& line) { spdlog::warn(line); }}),
      alarms_([](const std::string& line) { spdlog::warn(line); }),
      handover_(loop_, std::move(options.invocation)),
      signals_(loop_, SIGHUP, SIGTERM, SIGINT),
      second_(loop_) {
  const auto warn = [](const std::string& line) { spdlog::warn(line); };
  if (state_ != nullptr) guard_.emplace(*state_, warn);
  accesses_.Use(now_.access_log);
  signals_.add(SIGUSR2);
}

std::expected<std::unique_ptr<Service>, std::string> Service::Open(Options options) {
  std::unique_ptr<Service> service(new Service(std::move(options)));
  Lines lines;
  auto engine =
      service->state_ == nullptr
          ? engine::Engine::Create(service->now_.policy, HashSecret::Random())
          : engine::Engine::Attach(service->now_.policy, service->state_, service->start_, lines);
  for (const std::string& line : lines) spdlog::info("start: {}", line);
  if (!engine) return std::unexpected(std::move(engine.error()));
  service->engine_ = std::move(*engine);
  if (auto opened = service->OpenGateway(); !opened) {
    return std::unexpected(fmt::format("--listen or listen.gateway: {}", opened.error()));
  }
  if (auto opened = service->OpenAdmin(); !opened) {
    return std::unexpected(fmt::format("--admin or listen.admin: {}", opened.error()));
  }
  return service;
}

std::expected<void, std::string> Service::OpenGateway() {
  const auto log_denial = [this](const http::DenialEvent& event) { denials_.Note(event); };
  const auto warn = [](const std::string& line) { spdlog::warn("upstream: {}", line); };
  const auto note_access = [this](const gateway::AccessRecord& record) { accesses_.Note(record); };
  std::vector<std::vector<net::FileDescriptor>> inherited;
  inherited.reserve(opened_.gateway.size());
  for (const policy::GatewayListener& listener : opened_.gateway) {
    inherited.push_back(predecessor_.Take(kGatewayDoor, listener.endpoint));
  }
  auto gateway = gateway::Gateway::Create(*engine_, clock_,
                                          {.listen = opened_.gateway,
                                           .shares_port = state_ != nullptr,
                                           .inherited = std::move(inherited),
                                           .with = now_.with,
                                           .threads = threads_,
                                           .on_denial = log_denial,
                                           .on_alarm = warn,
                                           .on_access = note_access});
  if (!gateway) return std::unexpected(std::move(gateway.error()));
  gateway_ = std::move(*gateway);
  return {};
}

std::expected<void, std::string> Service::OpenAdmin() {
  if (!opened_.admin) return {};
  admin_ = std::make_unique<admin::Server>(loop_, static_cast<admin::Host&>(*this));
  auto inherited = predecessor_.Take(kAdminDoor, *opened_.admin);
  if (!inherited.empty()) {
    return admin_->Adopt(opened_.admin->address, std::move(inherited.front()));
  }
  return admin_->Listen(opened_.admin->address, opened_.admin->port);
}

void Service::Run() {
  WarnOfListeners();
  WarnOfFiles();
  gateway_->Start();
  AwaitSignal();
  if (state_ != nullptr) state_->Keep(clock_.Read());  // From now on what it has counts.
  AwaitSecond();
  spdlog::info("start: gateway on {}, admin door {}, policy from {}, {} rule(s)",
               fmt::join(gateway_addresses(), ", "), admin_address().value_or("off"),
               source_.name(), now_.policy->rules().size());
  // A service manager learns of a successor from the process that it knows.
  if (!predecessor_.waits()) TellServiceManager("READY=1");
  predecessor_.TellReady();
  loop_.run();
  if (drainer_.joinable()) drainer_.join();
  denials_.Flush(clock_.Read().engine_ns + std::chrono::nanoseconds(kSecond).count());
  spdlog::info("stop: done");
}

Lines Service::gateway_addresses() const {
  Lines addresses;
  for (std::size_t i = 0; i < opened_.gateway.size(); ++i) {
    addresses.push_back(AddressText(opened_.gateway[i].endpoint.address, gateway_->ports()[i]));
  }
  return addresses;
}

std::optional<std::string> Service::admin_address() const {
  if (admin_ == nullptr) return std::nullopt;
  return AddressText(opened_.admin->address, admin_->port());
}

std::string Service::gateway_url() const {
  const policy::GatewayListener& first = opened_.gateway.front();
  return (first.tls ? "https://" : "http://") +
         ReachableText(first.endpoint.address, gateway_->ports().front());
}

std::string Service::admin_url() const {
  if (admin_ == nullptr) return {};
  return "http://" + ReachableText(opened_.admin->address, admin_->port());
}

void Service::WarnOfListeners() const {
  for (const policy::GatewayListener& listener : opened_.gateway) {
    if (!listener.tls) WarnOfListener("gateway", listener.endpoint);
  }
  if (opened_.admin) WarnOfListener("admin door", *opened_.admin);
}

// Where a policy wants as few, it has what it wants.
void Service::WarnOfFiles() const {
  constexpr std::uint32_t kFew = 256;
  const std::uint32_t left = gateway_->most_connections();
  const std::uint32_t wanted = now_.policy->settings().connections.most;
  if (left >= kFew || (wanted != 0 && wanted <= left)) return;
  spdlog::warn(
      "start: the limit of open files leaves {} connection(s) of clients at once, and when more "
      "come, those that wait make room. Raise it: ulimit -n 65536, or LimitNOFILE=65536 in the "
      "unit",
      left);
}

void Service::AwaitSignal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (error) return;
    OnSignal(number);
    AwaitSignal();
  });
}

void Service::OnSignal(int number) {
  if (number == SIGUSR2) return OnHandover();
  if (number != SIGHUP) return OnStop(number);
  static_cast<void>(Reload());  // It logs what there is to say.
}

void Service::OnStop(int number) {
  if (std::exchange(stopping_, true)) {
    spdlog::warn("stop: a second signal: what is in flight is cut");
    gateway_->HurryUp();
    return;
  }
  if (draining_) {
    spdlog::info(
        "stop: handed over already: what is in flight has its time; a second signal cuts it");
    return;
  }
  handover_.Abandon();
  spdlog::info("stop: {}: requests in flight have {} to finish",
               number == SIGINT ? "SIGINT" : "SIGTERM", PatienceText());
  TellServiceManager("STOPPING=1");
  Drain(kLastCall);
}

std::string Service::PatienceText() const {
  const Duration patience = now_.policy->settings().timeouts.drain;
  return DurationText(static_cast<std::uint64_t>(patience.count()));
}

void Service::Drain(std::chrono::nanoseconds idle) {
  draining_ = true;
  // Waiting blocks, and the admin door goes on answering meanwhile.
  drainer_ = std::jthread([this, patience = now_.policy->settings().timeouts.drain, idle] {
    if (!gateway_->Drain(patience, idle)) {
      spdlog::warn("stop: requests that did not finish were cut");
    }
    loop_.stop();
  });
}

void Service::OnHandover() {
  if (draining_) {
    spdlog::warn("handover: SIGUSR2: this process is stopping");
    return;
  }
  if (!handover_.is_under_way()) missed_reload_ = false;
  handover::HandedDoors handed;
  const auto hand = [&handed](const char* name, const policy::Endpoint& asked,
                              std::vector<int> sockets) {
    handed.doors.push_back({.name = name,
                            .address = AddressText(asked.address, asked.port),
                            .descriptors = std::move(sockets)});
  };
  const std::vector<std::vector<int>> sockets = gateway_->sockets();
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    hand(kGatewayDoor, opened_.gateway[i].endpoint, sockets[i]);
  }
  if (admin_ != nullptr) hand(kAdminDoor, *opened_.admin, {admin_->socket()});
  handover_.Begin(std::move(handed), [this](int pid) { OnServes(pid); });
}

// The sockets live on in the new process, and with them the connections that wait there.
void Service::OnServes(int pid) {
  spdlog::info("handover: process {} serves", pid);
  TellServiceManager(fmt::format("MAINPID={}", pid));
  if (missed_reload_) ::kill(pid, SIGHUP);
  if (admin_ != nullptr) admin_->StopAccepting();
  spdlog::info("stop: handed over: requests in flight have {} to finish", PatienceText());
  Drain(kFarewell);
}

void Service::AwaitSecond() {
  second_.expires_after(kSecond);
  second_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnSecond();
  });
}

void Service::OnSecond() {
  const Now now = clock_.Read();
  denials_.Flush(now.engine_ns);
  if (state_ != nullptr) {
    state_->Keep(now);
    state_->Tidy();
  }
  if (guard_) guard_->Look();
  alarms_.Look(engine_->Counts(now), now.engine_ns);
  if (state_ != nullptr) {
    alarms_.LookAtStateFile(state_->path(), state_->owners().stuck(), now.engine_ns);
  }
  AwaitSecond();
}

Lines Service::NotesOnDoors(const policy::Settings& settings) const {
  Lines notes;
  if (!SameListeners(settings.gateway, opened_.gateway)) {
    notes.emplace_back("listen.gateway changed: a restart opens the new listeners");
  }
  if (settings.admin != opened_.admin) {
    notes.emplace_back("listen.admin changed: a restart opens the new listener");
  }
  if (settings.state_file != opened_.state_file) {
    notes.emplace_back("state.file changed: a restart opens the new one");
  }
  return notes;
}

std::expected<Lines, Lines> Service::Reload() {
  const auto refuse = [this](Lines mistakes) -> std::expected<Lines, Lines> {
    ++reloads_.failures;
    reloads_.last_good = false;
    for (const std::string& line : mistakes) spdlog::error("reload: {}", line);
    spdlog::error("reload: refused: the policy of before goes on");
    return std::unexpected(std::move(mistakes));
  };
  auto next = Configuration::Load(source_, &now_);
  if (!next) return refuse(std::move(next.error()));
  auto afresh = engine_->Publish(next->policy, clock_.Read());
  if (!afresh) return refuse({std::move(afresh.error())});
  // Certificates go by the listeners' places, which a reload cannot move.
  if (!SameEndpoints(next->policy->settings().gateway, opened_.gateway)) {
    next->with.certificates = now_.with.certificates;
  }
  gateway_->TakeReload(next->with);
  accesses_.Use(next->access_log);
  now_ = *std::move(next);
  missed_reload_ |= handover_.is_under_way();
  ++reloads_.successes;
  reloads_.last_good = true;
  reloads_.last_good_unix_ns = clock_.Read().unix_ns;

  Lines notes = source_.Warnings(*now_.policy);
  for (const std::string& line : notes) spdlog::warn("reload: {}", line);
  for (std::string& line : NotesOnDoors(now_.policy->settings())) {
    spdlog::warn("reload: {}", line);
    notes.push_back(std::move(line));
  }
  for (std::string& line : *afresh) {
    spdlog::info("reload: {}", line);
    notes.push_back(std::move(line));
  }
  spdlog::info("reload: done: {} rule(s) from {}", now_.policy->rules().size(), source_.name());
  return notes;
}

admin::Readings Service::Read() {
  const Now now = clock_.Read();
  std::vector<admin::Family> families = GatewayFamilies(gateway_->Read());
  families.push_back(AccessLogFamily(accesses_.lost()));
  return {.version = std::string(kVersion),
          .enabled = now_.policy->enabled(),
          .draining = draining_,
          .policy_source = source_.name(),
          .uptime_seconds = static_cast<double>(now.engine_ns - start_.engine_ns) / 1e9,
          .engine = engine_->Statistics(now),
          .rules = RuleInfos(*now_.policy),
          .reload = reloads_,
          .process = admin::ReadProcess(static_cast<double>(start_.unix_ns) / 1e9),
          .state_file = state_ == nullptr ? std::nullopt : std::optional(StateInfo(*state_)),
          .families = std::move(families)};
}

std::expected<void, std::string> Service::Ready() {
  if (draining_) return std::unexpected("it is stopping");
  return {};
}

engine::ToolStatistics& Service::Tools() { return gateway_->tools(); }

const admin::AdminToken* Service::Token() {
  return now_.admin_token ? &*now_.admin_token : nullptr;
}

}  // namespace sluicegate::app
