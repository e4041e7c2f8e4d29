#include <fmt/core.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "app/banner.h"
#include "app/commands.h"
#include "app/configuration.h"
#include "app/log.h"
#include "app/open_state.h"
#include "app/overrides.h"
#include "app/policy_source.h"
#include "app/service.h"
#include "app/words.h"
#include "gateway/demo_upstream.h"
#include "handover/predecessor.h"
#include "table/state_file.h"

namespace sluicegate::app {
namespace {

/// Why nothing is served, and the exit status.
struct Refusal {
  Lines lines;
  int status = 1;
};

std::unexpected<Refusal> Refuse(Lines lines, int status = 1) {
  return std::unexpected(Refusal{.lines = std::move(lines), .status = status});
}

/// A connection takes two descriptors, and the soft limit is often 1,024.
void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    spdlog::warn("start: the limit of open files stays as it is: {}", std::strerror(errno));
  }
}

/// A demo server, where the command may have one and the policy names no other.
std::expected<std::unique_ptr<gateway::DemoUpstream>, std::string> StartDemo(
    const std::string& config, Overrides& overrides) {
  if (!overrides.defaults || overrides.upstream) return nullptr;
  const auto named =
      PolicySource(config, [&](policy::Config& read) { overrides.Apply(read); }).Load();
  // Mistakes are told when the configuration is loaded for good.
  if (!named || (*named)->settings().upstream) return nullptr;
  auto demo = gateway::DemoUpstream::Start();
  if (demo) overrides.demo_upstream = fmt::format("http://127.0.0.1:{}", (*demo)->port());
  return demo;
}

std::unexpected<std::string> PortFileFailure(const std::string& path, const std::string& why) {
  return std::unexpected(fmt::format(
      "--port-file: {} cannot be written: {}. Name a file in a folder that may be written.", path,
      why));
}

/// Writes the addresses for whoever started the program; all of them or none are seen.
std::expected<void, std::string> WritePortFile(const std::string& path, const Service& service) {
  struct stat about{};
  if (::lstat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode)) {
    return PortFileFailure(path, "it is no regular file, and would be replaced");
  }
  std::string text;
  for (const std::string& address : service.gateway_addresses()) {
    text += fmt::format("gateway={}\n", address);
  }
  if (const auto admin = service.admin_address()) text += fmt::format("admin={}\n", *admin);
  const std::string unfinished = path + ".new";
  std::FILE* const file = std::fopen(unfinished.c_str(), "we");
  if (file == nullptr) return PortFileFailure(path, std::strerror(errno));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) == 0 && written && std::rename(unfinished.c_str(), path.c_str()) == 0) {
    return {};
  }
  const std::string why = std::strerror(errno);
  ::unlink(unfinished.c_str());
  return PortFileFailure(path, why);
}

void ShowBanner(const Service& service, const Configuration& first, const PolicySource& source,
                bool demo) {
  const std::string banner = Banner({.gateway = service.gateway_url(),
                                     .admin = service.admin_url(),
                                     .upstream = ServersText(*first.policy->settings().upstream),
                                     .demo = demo,
                                     .policy = source.built_in() ? "" : source.name(),
                                     .requests_to_limit = RequestsToLimit(*first.policy)});
  // Standard output may be the access log's, whose lines somebody's program reads.
  std::FILE* const out = first.policy->settings().access_log == "-" ? stderr : stdout;
  // Whether anybody reads it is nobody's failure.
  std::fputs(banner.c_str(), out);
  std::fflush(out);
  std::clearerr(out);
}

/// SIGHUP and SIGUSR2 wait until the service hears them, where they would end a program that
/// starts. SIGTERM and SIGINT end it.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGUSR2);
    ::pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~HeldSignals() { LetCome(); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  void LetCome() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

std::expected<void, Refusal> Serve(const ServeOptions& options,
                                   handover::Predecessor& predecessor) {
  auto overrides = Overrides::Read(options);
  if (!overrides) return Refuse(overrides.error(), kUsage);
  if (options.config == "-") {
    return Refuse({"--config: standard input cannot be read again at a reload. Name a file."},
                  kUsage);
  }
  HeldSignals held;
  // A reader of ours that goes away is no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  const Log log(options.log_level);
  RaiseFileLimit();

  const auto demo = StartDemo(options.config, *overrides);
  if (!demo) return Refuse({demo.error()});
  const PolicySource source(options.config,
                            [&](policy::Config& config) { overrides->Apply(config); });
  auto first = Configuration::Load(source);
  if (!first) return Refuse(first.error());
  for (const std::string& line : source.Warnings(*first->policy)) {
    spdlog::warn("start: {}", line);
  }

  const auto state = OpenState(first->policy->settings());
  if (!state) return Refuse({state.error()});
  const auto state_clock = *state == nullptr ? nullptr : (*state)->ClockBy(SystemClock());
  const Clock& clock = state_clock == nullptr ? SystemClock() : *state_clock;

  const unsigned threads =
      options.threads > 0 ? options.threads : std::max(std::thread::hardware_concurrency(), 1U);
  auto service = Service::Open({.source = source,
                                .first = *first,
                                .threads = threads,
                                .clock = clock,
                                .state = *state,
                                .predecessor = predecessor,
                                .invocation = options.invocation});
  if (!service) return Refuse({service.error()});
  first->access_log.reset();  // The service alone has it: a rotated log is to be closed.
  if (!options.port_file.empty()) {
    if (auto wrote = WritePortFile(options.port_file, **service); !wrote) {
      return Refuse({wrote.error()});
    }
  }
  // A service manager has no shell to paste anything into.
  if (options.defaults) ShowBanner(**service, *first, source, *demo != nullptr);
  held.LetCome();
  (*service)->Run();
  return {};
}

}  // namespace

int Serve(const ServeOptions& options) {
  handover::Predecessor predecessor = handover::Predecessor::FromEnvironment();
  const std::expected<void, Refusal> served = Serve(options, predecessor);
  if (served) return 0;
  predecessor.TellFailure(served.error().lines);
  TellLines("sluicegate: ", served.error().lines);
  return served.error().status;
}

}  // namespace sluicegate::app
