// What a service manager (systemd, Type=notify) is told: its protocol is a datagram to the Unix
// socket that NOTIFY_SOCKET names.
#pragma once

#include <string>

namespace sluicegate::app {

/// Tells it `state`, like "READY=1". Without a service manager, or where it does not listen:
/// nothing. Never blocks.
void TellServiceManager(const std::string& state);

}  // namespace sluicegate::app
