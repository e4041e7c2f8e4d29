// Server: the admin door's own small HTTP/1.1 server. It serves a few operators and scrapers, so it
// is simple rather than fast; everything it holds is bounded (Server::Bounds).
//
// Bound to one loop: every member is called on it. The loop must stop running before the host goes
// away.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "admin/host.h"
#include "base/ip.h"
#include "net/file_descriptor.h"

namespace sluicegate::admin {

class Server {
 public:
  struct Bounds {
    std::size_t connections = 64;                     ///< One more is closed as soon as it comes.
    std::size_t body_bytes = std::size_t{64} * 1024;  ///< 413 beyond. No route reads a body.
    std::chrono::milliseconds header{10'000};  ///< First byte to the end of a request; absolute.
    std::chrono::milliseconds idle{60'000};    ///< Between requests.
    std::chrono::milliseconds write{10'000};   ///< To take a whole answer.
  };

  /// REQUIRES: `loop` and `host` outlive this object.
  Server(boost::asio::io_context& loop, Host& host) : Server(loop, host, Bounds{}) {}
  Server(boost::asio::io_context& loop, Host& host, Bounds bounds);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Opens the door; port 0: the system chooses. The error says where and what to do.
  [[nodiscard]] std::expected<void, std::string> Listen(const IpAddress& address,
                                                        std::uint16_t port);
  /// Opens the door on a socket that listens there already, as one that another process handed down
  /// does. The error says what the system said.
  [[nodiscard]] std::expected<void, std::string> Adopt(const IpAddress& address,
                                                       net::FileDescriptor socket);
  /// Where it listens. REQUIRES: Listen or Adopt succeeded.
  [[nodiscard]] std::uint16_t port() const;

  /// The socket that listens, to hand it down; it stays the server's. REQUIRES: as above.
  [[nodiscard]] int socket() const;

  /// Leaves the door to who has its socket as well; connections that are open go on.
  void StopAccepting();
  /// Closes the door and every connection.
  void Stop();

 private:
  class Shared;
  std::shared_ptr<Shared> shared_;  // Connections that the loop still holds share it.
};

}  // namespace sluicegate::admin
