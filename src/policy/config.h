// A configuration as it was written: nothing checked, every value with its place in the file, so
// that each mistake can be told with line and column. The YAML reader (config/) fills it, or a
// program by hand (places are 0 then).
#pragma once

#include <cstdint>
#include <string>

namespace sluicegate::policy {

/// A place in a file, counted from 1; 0: not from a file.
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

/// What is wrong, where, and what to write instead. `mend` is a full sentence.
struct Mistake {
  Position at;
  std::string what;
  std::string mend;
};

/// A value and its place.
template <class T>
struct Located {
  T value{};
  Position at;
};

}  // namespace sluicegate::policy
