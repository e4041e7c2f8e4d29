#include "pipe/signal_feed.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace sluicegate::pipe {

SignalFeed::SignalFeed() {
  sigset_t taken;
  sigemptyset(&taken);
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD}) {
    sigaddset(&taken, number);
  }
  ::pthread_sigmask(SIG_BLOCK, &taken, &before_);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before_);
  // Where children are ignored, none can be waited for.
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &standard, &child_before_);
  descriptor_ = ::signalfd(-1, &taken, SFD_NONBLOCK | SFD_CLOEXEC);
}

SignalFeed::~SignalFeed() {
  ::close(descriptor_);
  Restore();
}

std::optional<SignalFeed::Signal> SignalFeed::Next() noexcept {
  signalfd_siginfo info{};
  if (::read(descriptor_, &info, sizeof(info)) != sizeof(info)) return std::nullopt;
  const auto number = static_cast<int>(info.ssi_signo);
  // That the terminal hung up only the leader of its session is told.
  const bool by_key = number == SIGINT || number == SIGQUIT;
  return Signal{.number = number, .reached_server = by_key && info.ssi_code == SI_KERNEL};
}

void SignalFeed::Restore() const noexcept {
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  ::sigaction(SIGCHLD, &child_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace sluicegate::pipe
