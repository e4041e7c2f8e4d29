// The library's version, as the build's project(VERSION) has it (a test compares the two).
#pragma once

#include <string_view>

namespace sluicegate {

inline constexpr int kVersionMajor = 0;
inline constexpr int kVersionMinor = 1;
inline constexpr int kVersionPatch = 0;
inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace sluicegate
