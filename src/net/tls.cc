#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/ip.h"
#include "net/system_calls.h"

namespace sluicegate::net {
namespace {

constexpr std::string_view kHttp11 = "\x08http/1.1";  // As ALPN writes a list: with lengths.
// Records without content, such as those that change keys, would keep a loop for as long as they
// come.
constexpr unsigned kMostReads = 2;  // Of the system, for one read of ours.
constexpr std::size_t kRecordBytes = std::size_t{16} * 1024;  // The most that one record carries.
// That bring no content; then the peer only keeps us busy. A record of the longest kind, in however
// many pieces it comes, has its content after a quarter of it.
constexpr std::size_t kMostIdleBytes = std::size_t{64} * 1024;

// What OpenSSL has to say of the last failure: what came first is its cause. Its queue is empty
// afterwards.
std::string LastError() {
  const unsigned long code = ::ERR_peek_error();
  ::ERR_clear_error();
  if (code == 0) return "no reason was given";
  const char* const reason = ::ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

std::unexpected<std::string> FileFailure(std::string_view what, const std::string& file,
                                         std::string_view mend) {
  const unsigned long code = ::ERR_peek_error();
  std::string why = LastError();
  if (ERR_SYSTEM_ERROR(code)) why = std::strerror(ERR_GET_REASON(code));
  return std::unexpected("the " + std::string(what) + " " + file + " cannot be used: " + why +
                         ". " + std::string(mend));
}

// Clients that offer protocols but not this one are told so, rather than served something else.
int ChooseProtocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* size,
                   const unsigned char* offered, unsigned int offered_size, void* /*unused*/) {
  unsigned char* found = nullptr;
  const int result =
      ::SSL_select_next_proto(&found, size, reinterpret_cast<const unsigned char*>(kHttp11.data()),
                              static_cast<unsigned>(kHttp11.size()), offered, offered_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

SSL_CTX* NewContext(const SSL_METHOD* method) {
  SSL_CTX* const context = ::SSL_CTX_new(method);
  if (context == nullptr) return nullptr;
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  ::SSL_CTX_set_options(
      context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_read_ahead(context, 1);
  return context;
}

}  // namespace

// How OpenSSL reaches the socket: as its own way would, but a peer that is gone is an error here
// and no signal.
struct TlsTransport {
  static TlsSession& Of(BIO* bio) { return *static_cast<TlsSession*>(::BIO_get_data(bio)); }

  static int Write(BIO* bio, const char* bytes, std::size_t size, std::size_t* written) {
    ::BIO_clear_retry_flags(bio);
    const ssize_t sent = Send(Of(bio).descriptor_, {bytes, size});
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) ::BIO_set_retry_write(bio);
      return 0;
    }
    *written = static_cast<std::size_t>(sent);
    return 1;
  }

  static int Read(BIO* bio, char* bytes, std::size_t size, std::size_t* read) {
    TlsSession& session = Of(bio);
    ::BIO_clear_retry_flags(bio);
    if (session.reads_left_ == 0) {
      session.paused_ = true;
      ::BIO_set_retry_read(bio);
      return 0;
    }
    --session.reads_left_;
    const ssize_t got = Receive(session.descriptor_, {bytes, size});
    session.drained_ = got < static_cast<ssize_t>(size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) ::BIO_set_retry_read(bio);
    if (got == 0) ::BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    if (got <= 0) return 0;
    *read = static_cast<std::size_t>(got);
    session.idle_bytes_ += *read;
    return 1;
  }

  static long Control(BIO* bio, int command, long /*number*/, void* /*unused*/) {
    if (command == BIO_CTRL_EOF) return ::BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
  }

  static const BIO_METHOD* Method() {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* const made =
          ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
      ::BIO_meth_set_write_ex(made, &Write);
      ::BIO_meth_set_read_ex(made, &Read);
      ::BIO_meth_set_ctrl(made, &Control);
      return made;
    }();
    return method;
  }
};

std::expected<std::shared_ptr<const TlsContext>, std::string> TlsContext::ForServer(
    const ServerFiles& files) {
  ::ERR_clear_error();
  SSL_CTX* const context = NewContext(::TLS_server_method());
  if (context == nullptr) return std::unexpected("TLS cannot be set up: " + LastError());
  std::shared_ptr<const TlsContext> made(new TlsContext(context));
  if (::SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return FileFailure("certificate", files.certificate,
                       "Name a PEM file with the certificate first and its chain behind it.");
  }
  if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return FileFailure("key", files.key,
                       "Name a PEM file with the certificate's own private key, without a "
                       "passphrase.");
  }
  ::SSL_CTX_set_alpn_select_cb(context, &ChooseProtocol, nullptr);
  // Sessions resume by tickets alone, which cost the server no memory a client.
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  return made;
}

std::expected<std::shared_ptr<const TlsContext>, std::string> TlsContext::ForClient(
    const ClientOptions& options) {
  ::ERR_clear_error();
  SSL_CTX* const context = NewContext(::TLS_client_method());
  if (context == nullptr) return std::unexpected("TLS cannot be set up: " + LastError());
  std::shared_ptr<const TlsContext> made(new TlsContext(context));
  ::SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  ::SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(kHttp11.data()),
                            static_cast<unsigned>(kHttp11.size()));
  if (!options.verify) return made;
  if (options.ca_file.empty()) {
    ::SSL_CTX_set_default_verify_paths(context);
  } else if (::SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1) {
    return FileFailure("file of certificate authorities", options.ca_file,
                       "Name a PEM file with the certificates that may vouch for the upstream.");
  }
  return made;
}

TlsContext::~TlsContext() { ::SSL_CTX_free(context_); }

std::unique_ptr<TlsSession> TlsContext::Accept() const {
  SSL* const ssl = ::SSL_new(context_);
  ::SSL_set_accept_state(ssl);
  return std::make_unique<TlsSession>(ssl);
}

std::unique_ptr<TlsSession> TlsContext::Connect(const std::string& name) const {
  SSL* const ssl = ::SSL_new(context_);
  ::SSL_set_connect_state(ssl);
  if (IpAddress::Parse(name)) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), name.c_str());
  } else {
    ::SSL_set_tlsext_host_name(ssl, name.c_str());
    ::SSL_set1_host(ssl, name.c_str());
  }
  return std::make_unique<TlsSession>(ssl);
}

TlsSession::~TlsSession() { ::SSL_free(ssl_); }

void TlsSession::Attach(int descriptor) noexcept {
  descriptor_ = descriptor;
  BIO* const bio = ::BIO_new(TlsTransport::Method());
  ::BIO_set_data(bio, this);
  ::BIO_set_init(bio, 1);
  ::SSL_set_bio(ssl_, bio, bio);
}

void TlsSession::BeginReading() noexcept {
  ::ERR_clear_error();
  reads_left_ = kMostReads;
  paused_ = false;
}

TlsSession::Step TlsSession::Handshake() noexcept {
  BeginReading();
  const int result = ::SSL_do_handshake(ssl_);
  idle_bytes_ = 0;  // It ends by itself.
  if (result == 1) return Step::kDone;
  switch (::SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return Step::kReads;
    case SSL_ERROR_WANT_WRITE:
      return Step::kWrites;
    default:
      break;
  }
  failed_ = true;
  const long verified = ::SSL_get_verify_result(ssl_);
  failure_ = verified != X509_V_OK ? ::X509_verify_cert_error_string(verified) : LastError();
  ::ERR_clear_error();
  return Step::kFailed;
}

Transfer TlsSession::Failed(int result) noexcept {
  switch (::SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {.bytes = 0, .error = EAGAIN};
    case SSL_ERROR_ZERO_RETURN:
      return {.bytes = 0, .error = kEndOfStream};
    default:
      break;
  }
  failed_ = true;
  ::ERR_clear_error();
  return {.bytes = 0, .error = kBrokenTls};
}

Transfer TlsSession::Read(std::span<char> room) noexcept {
  if (failed_) return {.bytes = 0, .error = kBrokenTls};
  BeginReading();
  std::size_t got = 0;
  const int result = ::SSL_read_ex(ssl_, room.data(), room.size(), &got);
  if (result != 1) {
    if (idle_bytes_ < kMostIdleBytes) return Failed(result);
    failed_ = true;
    return {.bytes = 0, .error = kBrokenTls};
  }
  idle_bytes_ = 0;
  return {.bytes = got, .error = kNoError};
}

// One record for what leaves together: a head and the begin of its body, mostly.
Transfer TlsSession::Write(std::span<const iovec> pieces) noexcept {
  if (failed_) return {.bytes = 0, .error = kBrokenTls};
  ::ERR_clear_error();
  thread_local std::array<char, kRecordBytes> record;
  std::span<const char> bytes;
  if (pieces.size() == 1) {
    bytes = {static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len};
  } else {
    std::size_t size = 0;
    for (const iovec& piece : pieces) {
      const std::size_t part = std::min(piece.iov_len, record.size() - size);
      std::memcpy(record.data() + size, piece.iov_base, part);
      size += part;
    }
    bytes = std::span(record).first(size);
  }
  std::size_t written = 0;
  const int result = ::SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written);
  if (result != 1) return Failed(result);
  return {.bytes = written, .error = kNoError};
}

void TlsSession::SayGoodbye() noexcept {
  if (failed_ || ::SSL_in_init(ssl_) != 0) return;
  ::ERR_clear_error();
  ::SSL_shutdown(ssl_);
  ::ERR_clear_error();
}

bool TlsSession::wants_to_write() const noexcept { return SSL_want_write(ssl_); }

bool TlsSession::holds_bytes() const noexcept { return ::SSL_has_pending(ssl_) != 0 || !drained_; }

}  // namespace sluicegate::net
