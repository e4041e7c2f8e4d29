#include "handover/handover.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <sstream>
#include <utility>

namespace sluicegate::handover {
namespace {

// A start reads files and takes memory: seconds, where gigabytes are to be touched.
constexpr std::chrono::seconds kPatience{30};

}  // namespace

Handover::Handover(boost::asio::io_context& loop, Invocation invocation)
    : invocation_(std::move(invocation)), words_(loop), patience_(loop) {}

void Handover::Begin(HandedDoors doors, OnServes on_serves) {
  if (successor_ != nullptr) {
    spdlog::warn("handover: SIGUSR2: process {} is starting already", successor_->pid());
    return;
  }
  if (invocation_.command.empty()) return Fail("nothing says how this process was started");
  auto successor = Successor::Start(invocation_.command, invocation_.program, std::move(doors));
  if (!successor) return Fail(successor.error());
  successor_ = *std::move(successor);
  on_serves_ = std::move(on_serves);
  spdlog::info("handover: SIGUSR2: the program starts anew as process {}", successor_->pid());
  words_.assign(successor_->descriptor());
  patience_.expires_after(kPatience);
  patience_.async_wait([this](const boost::system::error_code& error) {
    if (error || successor_ == nullptr) return;
    Forget();
    Fail(fmt::format("the new process did not serve within {} s", kPatience.count()));
  });
  Await();
}

void Handover::Abandon() {
  if (successor_ == nullptr) return;
  spdlog::warn("handover: given up: process {} is ended", successor_->pid());
  Forget();
}

void Handover::Await() {
  words_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                    [this](const boost::system::error_code& error) {
                      if (!error && successor_ != nullptr) Look();
                    });
}

void Handover::Look() {
  const auto became = successor_->Look();
  if (!became) return Await();
  const int pid = successor_->pid();
  const OnServes tell = std::move(on_serves_);
  Forget();
  if (!*became) return Fail(became->error());
  tell(pid);
}

void Handover::Fail(const std::string& reason) {
  std::istringstream lines(reason);
  for (std::string line; std::getline(lines, line);) spdlog::error("handover: {}", line);
  spdlog::error("handover: failed: this process goes on");
}

void Handover::Forget() {
  patience_.cancel();
  words_.release();  // It is the successor's.
  successor_ = nullptr;
}

}  // namespace sluicegate::handover
