#include "table/mapping.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace sluicegate::table {
namespace {

// Asks for every page now. MADV_POPULATE_WRITE (Linux 5.14) tells a shortage as an error. For
// kernels before it a byte of each page is touched: of memory of our own it is written; what is
// shared has its room already, and others count in it.
bool Populate(std::span<std::byte> bytes, bool shared) noexcept {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(bytes.data(), bytes.size(), MADV_POPULATE_WRITE) == 0) return true;
  if (errno != EINVAL) return false;
#endif
  for (std::size_t at = 0; at < bytes.size(); at += kPage) {
    volatile std::byte& first = bytes[at];
    if (shared) {
      static_cast<void>(first == std::byte{0});
    } else {
      first = std::byte{0};
    }
  }
  return true;
}

// The error is the system's number.
std::expected<std::span<std::byte>, int> Map(std::size_t bytes, int flags, int file, off_t offset) {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, file, offset);
  if (address == MAP_FAILED) return std::unexpected(errno);
  const std::span<std::byte> span(static_cast<std::byte*>(address), bytes);
  // A hint, so its failure is no error: with huge pages a random access costs one TLB entry in 2
  // MiB, not in 4 KiB.
  (void)::madvise(address, bytes, MADV_HUGEPAGE);
  if (Populate(span, (flags & MAP_SHARED) != 0)) return span;
  const int error = errno;
  ::munmap(address, bytes);
  return std::unexpected(error);
}

}  // namespace

std::expected<std::unique_ptr<Mapping>, std::string> Mapping::Create(std::size_t bytes) {
  const auto refuse = [bytes](int error) {
    return std::unexpected(
        "cannot get " + std::to_string(bytes) +
        " bytes of memory for a table: " + std::strerror(error) +
        ". Ask for less (state.memory, a rule's memory, memory_bytes), or give the process more.");
  };
  const auto span = Map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (!span) return refuse(span.error());
  return std::unique_ptr<Mapping>(new Mapping(*span));
}

std::expected<std::unique_ptr<Mapping>, std::string> Mapping::OfFile(int file, std::uint64_t offset,
                                                                     std::size_t bytes) {
  const auto span = Map(bytes, MAP_SHARED, file, static_cast<off_t>(offset));
  if (!span) {
    return std::unexpected("cannot map " + std::to_string(bytes) +
                           " bytes of it: " + std::strerror(span.error()) +
                           ". Ask for less (state.memory), or give the process more.");
  }
  return std::unique_ptr<Mapping>(new Mapping(*span));
}

Mapping::~Mapping() { ::munmap(bytes_.data(), bytes_.size()); }

}  // namespace sluicegate::table
