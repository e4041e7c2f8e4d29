// What TCP is asked for, at either end. False: errno says why it is not to be had. Thread-safe.
#pragma once

namespace sluicegate::net {

[[nodiscard]] bool SetOption(int descriptor, int level, int name, int value) noexcept;

/// Small writes leave at once. A peer that vanished without a word (a pulled cable, a lost mapping)
/// is given up after two minutes, where nothing that is written would find out sooner.
bool SetUpTcp(int descriptor) noexcept;

}  // namespace sluicegate::net
