#include "net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace sluicegate::net {

bool SetOption(int descriptor, int level, int name, int value) noexcept {
  return ::setsockopt(descriptor, level, name, &value, sizeof(value)) == 0;
}

bool SetUpTcp(int descriptor) noexcept {
  return SetOption(descriptor, IPPROTO_TCP, TCP_NODELAY, 1) &&
         SetOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1) &&
         SetOption(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, 60) &&
         SetOption(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, 15) &&
         SetOption(descriptor, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

}  // namespace sluicegate::net
