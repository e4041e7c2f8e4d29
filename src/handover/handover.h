// Handover: starts the program anew in this one's place (SIGUSR2) and waits until the new process
// serves, at most 30 s; logs what comes of it. Bound to one loop, which must outlive it. A new
// process that did not say that it serves is ended with it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "handover/handed_doors.h"
#include "handover/invocation.h"
#include "handover/successor.h"

namespace sluicegate::handover {

class Handover {
 public:
  using OnServes = std::function<void(int pid)>;

  Handover(boost::asio::io_context& loop, Invocation invocation);
  ~Handover() { Abandon(); }
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  /// Starts the new process, with `doors`; `on_serves` is called when it serves. One at a time:
  /// what is asked meanwhile is logged, and nothing else.
  void Begin(HandedDoors doors, OnServes on_serves);
  /// A new process was begun, and does not serve yet.
  [[nodiscard]] bool is_under_way() const noexcept { return successor_ != nullptr; }
  /// Ends a new process that does not serve yet.
  void Abandon();

 private:
  void Await();
  void Look();
  void Fail(const std::string& reason);
  void Forget();

  const Invocation invocation_;
  boost::asio::posix::stream_descriptor words_;  // The successor's descriptor, while that starts.
  boost::asio::steady_timer patience_;
  std::unique_ptr<Successor> successor_;
  OnServes on_serves_;
};

}  // namespace sluicegate::handover
