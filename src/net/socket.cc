#include "net/socket.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <utility>

#include "net/socket_options.h"
#include "net/system_calls.h"

namespace sluicegate::net {
namespace {

// Edges: each change is told once, so a socket remembers what it was told.
constexpr std::uint32_t kReadEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;
constexpr std::uint32_t kLost = EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kHangup = EPOLLRDHUP | kLost;

Transfer Failed() noexcept { return {.bytes = 0, .error = errno}; }

}  // namespace

Socket::Socket(EventLoop& loop, FileDescriptor descriptor)
    : loop_(loop), descriptor_(std::move(descriptor)) {
  if (!Register(kReadEvents)) descriptor_.Close();
}

Socket::~Socket() {
  assert(reader_ == nullptr && writer_ == nullptr);
  Close();
  loop_.Forget(*this);
  if (dead_ != nullptr) *dead_ = true;
}

bool Socket::Register(std::uint32_t events) {
  subscribed_ = events;
  return loop_.Add(descriptor_.get(), events, *this);
}

void Socket::SubscribeWritable() {
  if ((subscribed_ & EPOLLOUT) != 0) return;
  subscribed_ |= EPOLLOUT;
  loop_.Modify(descriptor_.get(), subscribed_, *this);
}

void Socket::WatchHangup(HangupListener* listener) {
  hangup_listener_ = listener;
  hangup_told_ = loss_told_ = false;
  if (listener != nullptr && hung_up_) loop_.Remind(*this);
}

void Socket::TellHangup() {
  if (hangup_listener_ == nullptr || !hung_up_ || (lost_ ? loss_told_ : hangup_told_)) return;
  hangup_told_ = true;
  loss_told_ = lost_;
  hangup_listener_->OnHangup();
}

std::uint64_t Socket::Acknowledged() const noexcept {
  tcp_info info{};
  socklen_t size = sizeof(info);
  const int got = ::getsockopt(descriptor_.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
  return got == 0 ? info.tcpi_bytes_acked : 0;
}

// More bytes are told anew, those that stay are not.
std::string_view Socket::Peek(std::span<char> room) noexcept {
  const ssize_t got = Receive(descriptor_.get(), room, MSG_PEEK);
  readable_ = false;
  return {room.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

void Socket::Skip(std::size_t bytes) noexcept {
  std::array<char, 512> nowhere;
  while (bytes > 0) {
    const std::size_t part = std::min(bytes, nowhere.size());
    const ssize_t got = Receive(descriptor_.get(), std::span(nowhere).first(part));
    if (got <= 0) break;
    bytes -= static_cast<std::size_t>(got);
  }
  readable_ = true;
}

bool Socket::HasBytesOrEnded() const noexcept {
  if (hung_up_ || (tls_ != nullptr && tls_->holds_bytes())) return true;
  char byte = 0;
  const ssize_t got = Receive(descriptor_.get(), {&byte, 1}, MSG_PEEK | MSG_DONTWAIT);
  return !(got < 0 && errno == EAGAIN);
}

Task<int> Socket::Connect(const SocketAddress& address) {
  assert(!is_open());
  descriptor_ =
      FileDescriptor(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!is_open()) co_return errno;
  readable_ = hung_up_ = lost_ = false;
  if (!address.is_unix()) SetUpTcp(descriptor_.get());
  // What is not connecting yet is told as hung up, so it is registered afterwards.
  int begun = ::connect(descriptor_.get(), address.data(), address.size());
  // The queue of a server's Unix socket is full, and nobody tells when it no longer is.
  Deadline again(loop_.timers(), [this] {
    retries_ = true;
    loop_.Remind(*this);
  });
  while (begun != 0 && errno == EAGAIN && address.is_unix()) {
    again.Set(TimerWheel::kTick);
    const int waited = co_await Writable();
    if (waited != kNoError) co_return waited;
    begun = ::connect(descriptor_.get(), address.data(), address.size());
  }
  if (begun != 0 && errno != EINPROGRESS) co_return errno;
  const bool waits = begun != 0;
  if (!Register(kReadEvents | EPOLLOUT)) co_return errno;
  if (!waits) co_return kNoError;
  const int waited = co_await Writable();
  if (waited != kNoError) co_return waited;
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(descriptor_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  co_return error;
}

void Socket::UseTls(std::unique_ptr<TlsSession> tls) noexcept {
  tls_ = std::move(tls);
  tls_->Attach(descriptor_.get());
}

Task<int> Socket::Handshake() {
  for (;;) {
    const TlsSession::Step step = tls_->Handshake();
    if (step != TlsSession::Step::kReads && step != TlsSession::Step::kWrites) {
      readable_ = true;  // It may have taken more than it needed; or it tells that it failed.
      co_return step == TlsSession::Step::kDone ? kNoError : kBrokenTls;
    }
    int error = kNoError;
    if (step == TlsSession::Step::kReads) {
      readable_ = tls_->paused();
      error = co_await Readable();
    } else {
      error = co_await Writable();
    }
    if (error != kNoError) co_return error;
  }
}

Transfer Socket::TryRead(std::span<char> room) noexcept {
  if (tls_ != nullptr) {
    const Transfer got = tls_->Read(room);
    if (got.error == EAGAIN && tls_->wants_to_write()) SubscribeWritable();
    // What has failed or ended says so again, to whoever asks.
    readable_ = got.error == EAGAIN     ? tls_->paused()
                : got.error != kNoError ? true
                                        : tls_->holds_bytes() || hung_up_;
    return got;
  }
  ssize_t got = 0;
  do {
    got = Receive(descriptor_.get(), room);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return {.bytes = 0, .error = kEndOfStream};
  if (got < 0) {
    if (errno == EAGAIN) readable_ = false;
    return Failed();
  }
  const auto bytes = static_cast<std::size_t>(got);
  // All that was there. More, or the end, would be told anew.
  if (bytes < room.size() && !hung_up_) readable_ = false;
  return {.bytes = bytes, .error = kNoError};
}

Transfer Socket::TryWrite(std::span<const iovec> pieces, bool more) noexcept {
  if (!is_open()) return {.bytes = 0, .error = ECANCELED};
  if (tls_ != nullptr) {
    const Transfer written = tls_->Write(pieces);
    sent_ += written.bytes;
    return written;
  }
  const int flags = more ? MSG_MORE : 0;
  ssize_t sent = 0;
  do {
    sent = Send(descriptor_.get(), pieces, flags);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return Failed();
  sent_ += static_cast<std::uint64_t>(sent);
  return {.bytes = static_cast<std::size_t>(sent), .error = kNoError};
}

Socket::Read Socket::ReadSome(std::span<char> room) noexcept { return {*this, room}; }
Socket::Wait Socket::Writable() noexcept { return {*this, writer_}; }
Socket::Wait Socket::Readable() noexcept { return {*this, reader_}; }

bool Socket::Read::await_ready() noexcept {
  if (!socket_.is_open()) {
    waiter_.result.error = ECANCELED;
    return true;
  }
  if (!socket_.TakesTurn()) return false;
  waiter_.result = socket_.TryRead(waiter_.room);
  return waiter_.result.error != EAGAIN;
}

void Socket::Read::await_suspend(std::coroutine_handle<> coroutine) noexcept {
  assert(socket_.reader_ == nullptr);
  waiter_.coroutine = coroutine;
  socket_.reader_ = &waiter_;
  if (socket_.readable_) socket_.loop_.Remind(socket_);
}

void Socket::Wait::await_suspend(std::coroutine_handle<> coroutine) noexcept {
  assert(place_ == nullptr);
  waiter_.coroutine = coroutine;
  place_ = &waiter_;
  if (&place_ == &socket_.writer_) {
    socket_.SubscribeWritable();
  } else if (socket_.readable_) {
    socket_.loop_.Remind(socket_);
  }
}

void Socket::OnEvents(std::uint32_t events) {
  reads_in_turn_ = 0;
  if ((events & kHangup) != 0) hung_up_ = true;
  if ((events & kLost) != 0) lost_ = true;
  // TLS may have to write before it can read on, and the other way round.
  const bool any = tls_ != nullptr && events != 0;
  if (any || (events & (EPOLLIN | kHangup)) != 0) readable_ = true;
  bool dead = false;
  dead_ = &dead;
  TellHangup();
  if (dead) return;
  WakeReader();
  if (dead) return;
  WakeWriter(any || std::exchange(retries_, false) || (events & (EPOLLOUT | kHangup)) != 0);
  if (dead) return;
  dead_ = nullptr;
}

void Socket::WakeReader() {
  if (reader_ == nullptr) return;
  if (reader_->canceled) {
    reader_->result.error = ECANCELED;
  } else {
    if (!readable_) return;
    if (!reader_->room.empty()) reader_->result = TryRead(reader_->room);
    if (reader_->result.error == EAGAIN) {
      if (readable_) loop_.Remind(*this);  // TLS took its share of this turn.
      return;
    }
  }
  std::exchange(reader_, nullptr)->coroutine.resume();
}

void Socket::WakeWriter(bool ready) {
  if (writer_ == nullptr || (!ready && !writer_->canceled)) return;
  if (writer_->canceled) writer_->result.error = ECANCELED;
  std::exchange(writer_, nullptr)->coroutine.resume();
}

void Socket::CancelReader() {
  if (reader_ == nullptr) return;
  reader_->canceled = true;
  loop_.Remind(*this);
}

void Socket::CancelWriter() {
  if (writer_ == nullptr) return;
  writer_->canceled = true;
  loop_.Remind(*this);
}

void Socket::Cancel() {
  CancelReader();
  CancelWriter();
}

void Socket::Close() {
  if (is_open() && tls_ != nullptr) tls_->SayGoodbye();
  CloseDescriptor();
}

void Socket::Reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(descriptor_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  CloseDescriptor();
}

void Socket::CloseDescriptor() {
  if (!is_open()) return;
  loop_.Remove(descriptor_.get(), *this);
  if (tls_ != nullptr) tls_->Detach();  // Its number may soon be another connection's.
  descriptor_.Close();
  Cancel();
}

void Socket::ShutdownSend() noexcept {
  if (!is_open()) return;
  if (tls_ != nullptr) tls_->SayGoodbye();
  ::shutdown(descriptor_.get(), SHUT_WR);
}

}  // namespace sluicegate::net
