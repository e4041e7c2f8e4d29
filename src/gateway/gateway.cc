#include "gateway/gateway.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/worker.h"

namespace sluicegate::gateway {
namespace {

void Complete(Reloadable& with) {
  if (with.identities == nullptr) with.identities = std::make_shared<identity::Identities>();
  if (with.certificates == nullptr) with.certificates = std::make_shared<Certificates>();
}

// A connection may need another one to the upstream; some descriptors are for everything else.
std::uint32_t MostConnections() {
  constexpr rlim_t kOthers = 128;
  constexpr rlim_t kMost = 1'000'000;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t left = limit.rlim_cur > kOthers ? limit.rlim_cur - kOthers : 2;
  return static_cast<std::uint32_t>(std::min(left / 2, kMost));
}

}  // namespace

struct Gateway::Impl {
  Impl(engine::Engine& engine, const Clock& clock, Options options)
      : shared{.engine = engine,
               .clock = clock,
               .upstream = Snapshot<UpstreamGroup>(std::move(options.with.upstream)),
               .identities = Snapshot<identity::Identities>(std::move(options.with.identities)),
               .certificates = Snapshot<Certificates>(std::move(options.with.certificates)),
               .on_denial = std::move(options.on_denial),
               .on_alarm = std::move(options.on_alarm),
               .on_access = std::move(options.on_access),
               .most_connections = MostConnections()} {}
  ~Impl() { StopLoops(); }

  // One listener a loop, all on the same port.
  std::expected<void, std::string> Bind(const policy::GatewayListener& listen, bool shares_port);
  void Adopt(const policy::GatewayListener& listen, std::vector<net::FileDescriptor> inherited);
  // Takes it as one of the last door's.
  void Serve(Worker& worker, std::unique_ptr<net::Listener> listener,
             const policy::GatewayListener& listen) {
    worker.Serve(std::move(listener),
                 {.place = ports.size(), .proxy_protocol = listen.proxy_protocol});
  }
  void OnEveryLoop(const std::function<void(Worker&)>& work) {
    for (const auto& worker : workers) {
      worker->loop().Post([work, worker = worker.get()] { work(*worker); });
    }
  }
  void StopLoops() {
    for (const auto& worker : workers) worker->loop().Stop();
    threads.clear();  // Joins.
  }

  // Before the workers: what a worker has still to tell uses them.
  std::mutex mu;
  std::condition_variable changed;
  std::size_t busy = 0;  // Guarded by mu: while draining, workers with connections left.
  bool hurry = false;    // Guarded by mu.

  Shared shared;
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::uint16_t> ports;       // Of the listeners, in their order.
  std::vector<std::vector<int>> sockets;  // Theirs; each is some worker's.
  std::vector<std::jthread> threads;
};

std::expected<void, std::string> Gateway::Impl::Bind(const policy::GatewayListener& listen,
                                                     bool shares_port) {
  const IpAddress& address = listen.endpoint.address;
  std::uint16_t port = listen.endpoint.port;
  // Loops share the port; a program that does not know of this one must not, so the first loop asks
  // for it alone.
  if (port != 0 && !shares_port) {
    auto alone = net::Listener::Open(workers.front()->loop(), address, port, net::Sharing::kAlone);
    if (!alone) return std::unexpected(std::move(alone.error()));
  }
  std::vector<int> bound;
  for (const auto& worker : workers) {
    auto listener = net::Listener::Open(worker->loop(), address, port, net::Sharing::kShared);
    if (!listener) return std::unexpected(std::move(listener.error()));
    port = (*listener)->port();
    bound.push_back((*listener)->descriptor());
    Serve(*worker, std::move(*listener), listen);
  }
  ports.push_back(port);
  sockets.push_back(std::move(bound));
  return {};
}

// Connections wait at each socket, so each is served: by one loop, which may have several, or by
// several loops, where there are more of these. No socket is added to them: what waits at one that
// goes away with a process that then fails would be lost.
void Gateway::Impl::Adopt(const policy::GatewayListener& listen,
                          std::vector<net::FileDescriptor> inherited) {
  std::vector<int> adopted;
  adopted.reserve(inherited.size());
  for (const net::FileDescriptor& socket : inherited) adopted.push_back(socket.get());
  for (std::size_t i = adopted.size(); i < workers.size(); ++i) {
    net::FileDescriptor again(::fcntl(adopted[i % adopted.size()], F_DUPFD_CLOEXEC, 0));
    if (again.is_open())
      inherited.push_back(std::move(again));  // Else the other loops do its work.
  }
  std::uint16_t port = 0;
  for (std::size_t i = 0; i < inherited.size(); ++i) {
    Worker& worker = *workers[i % workers.size()];
    auto listener = net::Listener::Adopt(worker.loop(), std::move(inherited[i]));
    port = listener->port();
    Serve(worker, std::move(listener), listen);
  }
  ports.push_back(port);
  sockets.push_back(std::move(adopted));
}

std::expected<std::unique_ptr<Gateway>, std::string> Gateway::Create(engine::Engine& engine,
                                                                     const Clock& clock,
                                                                     Options options) {
  Complete(options.with);
  const std::vector<policy::GatewayListener> listeners = std::move(options.listen);
  auto inherited = std::move(options.inherited);
  inherited.resize(listeners.size());
  const bool shares_port = options.shares_port;
  const unsigned threads = std::max(options.threads, 1U);
  auto impl = std::make_unique<Impl>(engine, clock, std::move(options));
  for (unsigned i = 0; i < threads; ++i) {
    impl->workers.push_back(std::make_unique<Worker>(impl->shared));
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    if (!inherited[i].empty()) {
      impl->Adopt(listeners[i], std::move(inherited[i]));
    } else if (auto bound = impl->Bind(listeners[i], shares_port); !bound) {
      return std::unexpected(std::move(bound.error()));
    }
  }
  return std::unique_ptr<Gateway>(new Gateway(std::move(impl)));
}

Gateway::Gateway(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Gateway::~Gateway() = default;

std::span<const std::uint16_t> Gateway::ports() const noexcept { return impl_->ports; }

std::vector<std::vector<int>> Gateway::sockets() const { return impl_->sockets; }

std::uint32_t Gateway::most_connections() const noexcept { return impl_->shared.most_connections; }

void Gateway::Start() {
  for (const auto& worker : impl_->workers) {
    impl_->threads.emplace_back([&loop = worker->loop()] { loop.Run(); });
  }
}

bool Gateway::Drain(std::chrono::nanoseconds patience, std::chrono::nanoseconds idle) {
  std::unique_lock lock(impl_->mu);
  impl_->busy = impl_->workers.size();
  impl_->OnEveryLoop([impl = impl_.get()](Worker& worker) {
    worker.Drain([impl] {
      const std::lock_guard guard(impl->mu);
      --impl->busy;
      impl->changed.notify_all();
    });
  });
  const auto over = [this] { return impl_->busy == 0 || impl_->hurry; };
  idle = std::clamp(idle, std::chrono::nanoseconds(0), patience);
  impl_->changed.wait_for(lock, idle, over);
  impl_->OnEveryLoop([](Worker& worker) { worker.CloseIdle(); });
  impl_->changed.wait_for(lock, patience - idle, over);
  const bool finished = impl_->busy == 0;
  lock.unlock();
  impl_->StopLoops();
  return finished;
}

void Gateway::HurryUp() {
  const std::lock_guard guard(impl_->mu);
  impl_->hurry = true;
  impl_->changed.notify_all();
}

void Gateway::TakeReload(Reloadable next) {
  Complete(next);
  impl_->shared.upstream.Publish(std::move(next.upstream));
  impl_->shared.identities.Publish(std::move(next.identities));
  impl_->shared.certificates.Publish(std::move(next.certificates));
  impl_->OnEveryLoop([](Worker& worker) { worker.TakeReload(); });
}

engine::ToolStatistics& Gateway::tools() noexcept { return impl_->shared.tools; }

Statistics Gateway::Read() const {
  Statistics statistics;
  // From the last to the first, so that no closed connection is counted whose opening is not.
  for (const auto& worker : impl_->workers) {
    for (std::size_t i = kEvents; i-- > 0;) {
      statistics.counts[i] += worker->counters().Read(static_cast<Event>(i));
    }
  }
  return statistics;
}

}  // namespace sluicegate::gateway
