// How a fuzz target is written, so that libFuzzer and the plain regression test run the same code.
//
//   SG_FUZZ_TARGET(path) { Require(property(bytes)); }      bytes: std::string_view
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string_view>

namespace sluicegate::fuzz {

/// Inputs beyond this teach nothing new and only slow the search.
inline constexpr std::size_t kMaxInputBytes = 48 * 1024;

/// Thrown in the regression test, which knows the input and goes on.
struct Broken {
  std::source_location where;
};

/// A property that must hold for every input. libFuzzer keeps the input when the program ends.
inline void Require(bool holds,
                    const std::source_location& where = std::source_location::current()) {
  if (holds) return;
#ifdef SG_LIBFUZZER
  std::fprintf(stderr, "%s:%u: this does not hold for the input\n", where.file_name(),
               static_cast<unsigned>(where.line()));
  std::abort();
#else
  throw Broken{where};
#endif
}

}  // namespace sluicegate::fuzz

#ifdef SG_LIBFUZZER
#define SG_FUZZ_ENTRY(name) \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
#else
#define SG_FUZZ_ENTRY(name) \
  extern "C" int sg_fuzz_##name(const std::uint8_t* data, std::size_t size)
#endif

#define SG_FUZZ_TARGET(name)                                          \
  static void sg_fuzz_body_##name(std::string_view bytes);            \
  SG_FUZZ_ENTRY(name);                                                \
  SG_FUZZ_ENTRY(name) {                                               \
    if (size > sluicegate::fuzz::kMaxInputBytes) return 0;            \
    sg_fuzz_body_##name({reinterpret_cast<const char*>(data), size}); \
    return 0;                                                         \
  }                                                                   \
  static void sg_fuzz_body_##name(std::string_view bytes)
