#include "engine/allocations_for_test.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::uint64_t> allocations{0};

}  // namespace

namespace sluicegate::engine {

std::uint64_t AllocationsSoFar() noexcept { return allocations.load(std::memory_order_relaxed); }

}  // namespace sluicegate::engine

#ifndef SG_ALLOCATIONS_NOT_COUNTED
// The replaceable functions of the whole program; the array and aligned forms end here or do not
// matter to a decision.
void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
#endif
