// TLS by OpenSSL: what a listener shows, what an upstream is asked for, and one connection's state.
// A context is immutable once made and may be shared by threads; a session is bound to its socket.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/transfer.h"

struct ssl_ctx_st;
struct ssl_st;

namespace sluicegate::net {

class TlsSession;

/// Certificates and rules for many connections: TLS 1.2 and 1.3, HTTP/1.1 (ALPN).
class TlsContext {
 public:
  struct ServerFiles {
    std::string certificate;  ///< PEM: the server's certificate, then those that vouch for it.
    std::string key;          ///< PEM, without a passphrase.
  };
  /// For a listener. The error names the file and the mend.
  [[nodiscard]] static std::expected<std::shared_ptr<const TlsContext>, std::string> ForServer(
      const ServerFiles& files);

  struct ClientOptions {
    std::string ca_file;  ///< PEM: who may vouch; empty: whom the system trusts.
    bool verify = true;
  };
  /// For connections to an upstream.
  [[nodiscard]] static std::expected<std::shared_ptr<const TlsContext>, std::string> ForClient(
      const ClientOptions& options);

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  [[nodiscard]] std::unique_ptr<TlsSession> Accept() const;
  /// `name`: which server is meant, a host name or an address: asked for, and verified.
  [[nodiscard]] std::unique_ptr<TlsSession> Connect(const std::string& name) const;

 private:
  explicit TlsContext(ssl_ctx_st* context) noexcept : context_(context) {}
  ssl_ctx_st* const context_;
};

/// One connection. Made by a context, used by a Socket.
class TlsSession {
 public:
  enum class Step : std::uint8_t {
    kDone,
    kReads,   ///< It waits for bytes.
    kWrites,  ///< It waits for room to write.
    kFailed,
  };

  explicit TlsSession(ssl_st* ssl) noexcept : ssl_(ssl) {}
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  void Attach(int descriptor) noexcept;
  [[nodiscard]] Step Handshake() noexcept;
  /// EAGAIN where it has to wait.
  [[nodiscard]] Transfer Read(std::span<char> room) noexcept;
  [[nodiscard]] Transfer Write(std::span<const iovec> pieces) noexcept;
  /// Tells the peer that this end is no accident, as far as the system takes it without waiting.
  void SayGoodbye() noexcept;

  /// The last read or handshake waits for room to write.
  [[nodiscard]] bool wants_to_write() const noexcept;
  /// Bytes were taken from the system that nobody has read, or there may be more.
  [[nodiscard]] bool holds_bytes() const noexcept;
  /// The last read or handshake stopped by itself, as it took much of the system without a byte for
  /// the reader: there may be more at once.
  [[nodiscard]] bool paused() const noexcept { return paused_; }
  /// The descriptor is closed: nothing is read or written any more.
  void Detach() noexcept { descriptor_ = -1; }
  /// Why the handshake failed, for a person: certificates that are not trusted, mostly.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

 private:
  friend struct TlsTransport;
  void BeginReading() noexcept;
  [[nodiscard]] Transfer Failed(int result) noexcept;

  ssl_st* const ssl_;
  int descriptor_ = -1;
  bool drained_ = false;  // The system had fewer bytes than there was room for.
  bool failed_ = false;   // OpenSSL must not be used any more.
  bool paused_ = false;
  unsigned reads_left_ = 0;     // Of the system, in this call.
  std::size_t idle_bytes_ = 0;  // Read since the last content.
  std::string failure_;
};

}  // namespace sluicegate::net
