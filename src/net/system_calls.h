// recv and send as the system has them. libc's are points at which a thread may be cancelled, which
// costs each call two atomic operations in a process of several threads; nobody cancels ours.
#pragma once

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <span>

namespace sluicegate::net {

// Sanitizers see what libc is asked for, and nothing else.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLUICEGATE_CALLS_LIBC
#endif
#endif

/// As recv(2): how many bytes came, 0 at the end, or -1 and errno.
[[nodiscard]] inline ssize_t Receive(int socket, std::span<char> room, int flags = 0) noexcept {
#ifdef SLUICEGATE_CALLS_LIBC
  return ::recv(socket, room.data(), room.size(), flags);
#else
  return ::syscall(SYS_recvfrom, socket, room.data(), room.size(), flags, nullptr, nullptr);
#endif
}

/// As send(2): how many bytes were taken, or -1 and errno. Never raises SIGPIPE.
[[nodiscard]] inline ssize_t Send(int socket, std::span<const char> bytes, int flags = 0) noexcept {
#ifdef SLUICEGATE_CALLS_LIBC
  return ::send(socket, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
#else
  return ::syscall(SYS_sendto, socket, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL, nullptr,
                   0);
#endif
}

/// As sendmsg(2) of the pieces in a row; otherwise as above.
[[nodiscard]] inline ssize_t Send(int socket, std::span<const iovec> pieces,
                                  int flags = 0) noexcept {
  if (pieces.size() == 1) {  // Needs no list, which the system would have to copy and check.
    return Send(socket, {static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len}, flags);
  }
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
#ifdef SLUICEGATE_CALLS_LIBC
  return ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
#else
  return ::syscall(SYS_sendmsg, socket, &message, flags | MSG_NOSIGNAL);
#endif
}

#undef SLUICEGATE_CALLS_LIBC

}  // namespace sluicegate::net
