#include "admin/server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>
#include <utility>

#include "admin/connection.h"
#include "admin/routes.h"
#include "net/listener.h"

namespace sluicegate::admin {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
/// When the system has no descriptor or memory left for a connection: long enough not to spin.
constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

class Server::Shared : public std::enable_shared_from_this<Shared> {
 public:
  Shared(asio::io_context& loop, Host& host, const Bounds& bounds)
      : acceptor(loop), routes_(host), bounds_(bounds) {}

  asio::awaitable<void> Accept() {
    const std::shared_ptr<Shared> self = shared_from_this();
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(kAwait);
      if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
      if (error) {
        asio::steady_timer pause(acceptor.get_executor(), kAcceptPause);
        co_await pause.async_wait(kAwait);
        continue;
      }
      if (connections_.size() >= bounds_.connections) continue;  // Closed with its socket.
      asio::co_spawn(acceptor.get_executor(), Serve(std::move(socket)), asio::detached);
    }
  }

  // What is closed and lives on elsewhere would stay in the loop's epoll: so it is taken out first.
  void StopAccepting() {
    if (!acceptor.is_open()) return;
    error_code failed;
    net::FileDescriptor socket(acceptor.release(failed));
    if (failed) static_cast<void>(socket.Release());  // It is still the acceptor's.
  }

  void Stop() {
    error_code ignored;
    acceptor.close(ignored);
    for (Connection* const connection : connections_) connection->Close();
  }

  tcp::acceptor acceptor;

 private:
  asio::awaitable<void> Serve(tcp::socket socket) {
    const std::shared_ptr<Shared> self = shared_from_this();
    const auto connection = std::make_shared<Connection>(std::move(socket), routes_, bounds_);
    connections_.insert(connection.get());
    co_await connection->Run();
    connections_.erase(connection.get());
  }

  Routes routes_;
  const Bounds bounds_;
  std::set<Connection*> connections_;
};

Server::Server(asio::io_context& loop, Host& host, Bounds bounds)
    : shared_(std::make_shared<Shared>(loop, host, bounds)) {}

Server::~Server() { Stop(); }

std::expected<void, std::string> Server::Listen(const IpAddress& address, std::uint16_t port) {
  tcp::acceptor& acceptor = shared_->acceptor;
  const tcp::endpoint endpoint(asio::ip::make_address(address.ToString()), port);
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && !address.is_v4()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    error_code ignored;
    acceptor.close(ignored);
    return std::unexpected(net::ListenFailure(net::SocketAddress(address, port), error.value()));
  }
  asio::co_spawn(acceptor.get_executor(), shared_->Accept(), asio::detached);
  return {};
}

std::expected<void, std::string> Server::Adopt(const IpAddress& address,
                                               net::FileDescriptor socket) {
  tcp::acceptor& acceptor = shared_->acceptor;
  error_code error;
  acceptor.assign(address.is_v4() ? tcp::v4() : tcp::v6(), socket.get(), error);
  if (error) return std::unexpected("a socket cannot be taken over: " + error.message());
  static_cast<void>(socket.Release());
  asio::co_spawn(acceptor.get_executor(), shared_->Accept(), asio::detached);
  return {};
}

int Server::socket() const { return shared_->acceptor.native_handle(); }

void Server::StopAccepting() { shared_->StopAccepting(); }

std::uint16_t Server::port() const { return shared_->acceptor.local_endpoint().port(); }

void Server::Stop() { shared_->Stop(); }

}  // namespace sluicegate::admin
