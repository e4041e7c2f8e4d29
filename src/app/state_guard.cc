#include "app/state_guard.h"

#include <atomic>
#include <cerrno>
#include <utility>

namespace sluicegate::app {
namespace {

using Condition = table::StateFile::Condition;

// The system calls a handler with nothing of ours.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<table::StateFile*> guarded{nullptr};

// What is not the file's ends the process, as without this: at the next access.
void OnBusError(int signal, siginfo_t* info, void* /*context*/) {
  const int error = errno;
  table::StateFile* const file = guarded.load(std::memory_order_relaxed);
  if (file == nullptr || !file->Mend(info->si_addr)) ::signal(signal, SIG_DFL);
  errno = error;
}

const char* TextOf(Condition condition) {
  if (condition == Condition::kCut) {
    return "was cut short while it was in use: what was cut counts afresh, and processes that "
           "start now are refused. End all that use it, move the file away, and start them again";
  }
  return "was moved or removed while it is in use: processes that start now make another one and "
         "count apart. Start this one again";
}

}  // namespace

StateGuard::StateGuard(table::StateFile& file, Sink sink) : file_(file), sink_(std::move(sink)) {
  guarded.store(&file, std::memory_order_relaxed);
  struct sigaction action{};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = &OnBusError;
  ::sigaction(SIGBUS, &action, &before_);
}

StateGuard::~StateGuard() {
  ::sigaction(SIGBUS, &before_, nullptr);
  guarded.store(nullptr, std::memory_order_relaxed);
}

void StateGuard::Look() {
  const Condition now = file_.Inspect();
  if (now == told_) return;
  told_ = now;
  if (now != Condition::kWhole) sink_("state file " + file_.path() + " " + TextOf(now));
}

}  // namespace sluicegate::app
