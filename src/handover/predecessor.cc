#include "handover/predecessor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "handover/successor.h"
#include "net/address.h"

namespace sluicegate::handover {
namespace {

// Ours alone, so that no process that we start has it, too.
net::FileDescriptor Own(int descriptor) {
  const bool open = ::fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0;
  return net::FileDescriptor(open ? descriptor : -1);
}

// Whatever the variable says: the system says what a descriptor is.
bool ListensAt(const net::FileDescriptor& socket, const policy::Endpoint& endpoint) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (!socket.is_open() ||
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
    return false;
  }
  sockaddr_storage raw{};
  size = sizeof(raw);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&raw), &size) != 0) return false;
  const net::SocketAddress bound = net::SocketAddress::From(raw, size);
  const int flags = ::fcntl(socket.get(), F_GETFL);
  return bound.address() == endpoint.address &&
         (endpoint.port == 0 || bound.port() == endpoint.port) &&
         ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) == 0;
}

}  // namespace

Predecessor Predecessor::FromEnvironment() {
  Predecessor predecessor;
  const char* const text = std::getenv(HandedDoors::kVariable);
  if (text == nullptr) return predecessor;
  const std::optional<HandedDoors> handed = HandedDoors::Parse(text);
  ::unsetenv(HandedDoors::kVariable);
  if (!handed) return predecessor;
  predecessor.ready_ = Own(handed->ready);
  for (const HandedDoor& door : handed->doors) {
    std::vector<net::FileDescriptor> sockets;
    sockets.reserve(door.descriptors.size());
    for (const int descriptor : door.descriptors) sockets.push_back(Own(descriptor));
    predecessor.doors_.push_back(
        {.name = door.name, .address = door.address, .sockets = std::move(sockets)});
  }
  return predecessor;
}

std::vector<net::FileDescriptor> Predecessor::Take(std::string_view door,
                                                   const policy::Endpoint& endpoint) {
  const std::string address = net::SocketAddress(endpoint.address, endpoint.port).Text();
  const auto found = std::ranges::find_if(
      doors_, [&](const Door& one) { return one.name == door && one.address == address; });
  if (found == doors_.end()) return {};
  std::vector<net::FileDescriptor> sockets = std::move(found->sockets);
  doors_.erase(found);
  std::erase_if(sockets, [&](const auto& socket) { return !ListensAt(socket, endpoint); });
  return sockets;
}

void Predecessor::TellReady() {
  doors_.clear();
  Tell(std::string(1, Successor::kReady));
}

void Predecessor::TellFailure(std::span<const std::string> reasons) {
  Tell(fmt::format("{}", fmt::join(reasons, "\n")));
}

void Predecessor::Tell(const std::string& words) {
  if (!ready_.is_open()) return;
  // The pipe holds more than that, so nothing blocks; if the other one is gone, nobody need know.
  const std::size_t size = std::min(words.size(), Successor::kMostReason);
  static_cast<void>(::write(ready_.get(), words.data(), size));
  ready_.Close();
}

}  // namespace sluicegate::handover
