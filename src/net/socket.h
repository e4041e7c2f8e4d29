// Socket: one connection on an event loop: reads and writes that wait for as long as it takes,
// until somebody cancels them. Plain, or through TLS (tls.h). Bound to its loop. Neither copies nor
// moves; must not die while a coroutine waits for it.
#pragma once

#include <sys/uio.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "net/address.h"
#include "net/event_loop.h"
#include "net/file_descriptor.h"
#include "net/task.h"
#include "net/tls.h"
#include "net/transfer.h"

namespace sluicegate::net {

class Socket final : private Pollable {
 public:
  /// Whoever wants to know that the peer left, also behind bytes that nobody has read.
  class HangupListener {
   public:
    virtual void OnHangup() = 0;

   protected:
    ~HangupListener() = default;
  };

  /// Takes a connected, non-blocking descriptor over.
  Socket(EventLoop& loop, FileDescriptor descriptor);
  /// Not connected.
  explicit Socket(EventLoop& loop) : loop_(loop) {}
  ~Socket();

  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  /// Bytes that the system took so far; with TLS what was enciphered of them counts.
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  /// The peer will send no more, or the connection failed; there may still be bytes to read.
  [[nodiscard]] bool hung_up() const noexcept { return hung_up_; }
  /// And it takes none either: it reset the connection, or that failed.
  [[nodiscard]] bool lost() const noexcept { return lost_; }
  /// `listener` is told when it has hung up, and when it is lost; null: nobody is. What has
  /// happened is told before the loop's next wait.
  void WatchHangup(HangupListener* listener);
  /// Bytes that the peer has told it has, since the connection began, TLS's own included; of TCP
  /// only. Costs a system call.
  [[nodiscard]] std::uint64_t Acknowledged() const noexcept;

  /// The peer closed, or sent what nobody asked for. Costs a system call.
  [[nodiscard]] bool HasBytesOrEnded() const noexcept;

  /// The first bytes that nobody has read, as many as `room` takes; they stay there. Plain sockets
  /// only.
  [[nodiscard]] std::string_view Peek(std::span<char> room) noexcept;
  /// Throws so many of them away. REQUIRES: Peek showed them.
  void Skip(std::size_t bytes) noexcept;

  /// Connects; the error is errno's. REQUIRES: it is not open.
  [[nodiscard]] Task<int> Connect(const SocketAddress& address);
  /// Speaks TLS from now on. REQUIRES: nothing was read or written.
  void UseTls(std::unique_ptr<TlsSession> tls) noexcept;
  /// Greets the other end; reading does it by itself where it comes first.
  [[nodiscard]] Task<int> Handshake();
  [[nodiscard]] const TlsSession* tls() const noexcept { return tls_.get(); }

  class Wait;
  class Read;
  /// `auto [bytes, error] = co_await socket.ReadSome(room);` At least one byte, or an error.
  [[nodiscard]] Read ReadSome(std::span<char> room) noexcept;
  /// There may be bytes that nobody has read.
  [[nodiscard]] bool readable() const noexcept { return readable_; }
  /// Likewise, and there is a turn left to read them: else it is others' turn, and Readable() waits
  /// for the next.
  [[nodiscard]] bool TakesTurn() noexcept {
    return readable_ && ++reads_in_turn_ <= kMostReadsInTurn;
  }
  /// Reads what is there.
  [[nodiscard]] Transfer TryRead(std::span<char> room) noexcept;
  /// Writes what the system takes without waiting. `more`: others follow at once, the system may
  /// send them together.
  [[nodiscard]] Transfer TryWrite(std::span<const iovec> pieces, bool more) noexcept;
  /// `const int error = co_await socket.Writable();` Until writing is worth another try.
  [[nodiscard]] Wait Writable() noexcept;
  /// Likewise for reading.
  [[nodiscard]] Wait Readable() noexcept;

  /// Ends the waits that are under way; later ones are as usual.
  void Cancel();
  /// Likewise of one direction.
  void CancelReader();
  void CancelWriter();
  /// Ends the waits for good.
  void Close();
  /// Closes so that the peer sees a failure, which it cannot take for the end; what is not sent yet
  /// is lost.
  void Reset();
  /// Tells the peer that nothing more comes.
  void ShutdownSend() noexcept;

 private:
  void CloseDescriptor();
  // A coroutine that waits.
  struct Waiter {
    std::coroutine_handle<> coroutine;
    std::span<char> room;  // Where to read to; empty: it only waits.
    Transfer result;
    bool canceled = false;
  };

  static constexpr std::uint8_t kMostReadsInTurn = 16;  // Then others get theirs.

  void OnEvents(std::uint32_t events) override;
  void TellHangup();
  void WakeReader();
  void WakeWriter(bool ready);
  [[nodiscard]] bool Register(std::uint32_t events);
  void SubscribeWritable();

  EventLoop& loop_;
  FileDescriptor descriptor_;
  std::unique_ptr<TlsSession> tls_;
  Waiter* reader_ = nullptr;
  Waiter* writer_ = nullptr;
  HangupListener* hangup_listener_ = nullptr;
  bool* dead_ = nullptr;            // Told where this dies while it calls others.
  std::uint64_t sent_ = 0;          // Bytes.
  std::uint32_t subscribed_ = 0;    // Events of epoll.
  std::uint8_t reads_in_turn_ = 0;  // That did not have to wait.
  bool readable_ = false;           // The last that was seen: there may be bytes.
  bool hung_up_ = false;
  bool lost_ = false;
  bool hangup_told_ = false;
  bool loss_told_ = false;
  bool retries_ = false;  // To connect.
};

/// Awaitable: waits for one direction, and gives errno's value.
class [[nodiscard]] Socket::Wait {
 public:
  [[nodiscard]] bool await_ready() const noexcept { return !socket_.is_open(); }
  void await_suspend(std::coroutine_handle<> coroutine) noexcept;
  [[nodiscard]] int await_resume() const noexcept {
    return waiter_.coroutine ? waiter_.result.error : ECANCELED;
  }

 private:
  friend class Socket;
  Wait(Socket& socket, Waiter*& place) noexcept : socket_(socket), place_(place) {}
  Socket& socket_;
  Waiter*& place_;
  Waiter waiter_;
};

/// Awaitable: see ReadSome.
class [[nodiscard]] Socket::Read {
 public:
  [[nodiscard]] bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> coroutine) noexcept;
  [[nodiscard]] Transfer await_resume() const noexcept { return waiter_.result; }

 private:
  friend class Socket;
  Read(Socket& socket, std::span<char> room) noexcept : socket_(socket) { waiter_.room = room; }
  Socket& socket_;
  Waiter waiter_;
};

}  // namespace sluicegate::net
