// A table in a region whose first words are damaged.
#include <gtest/gtest.h>

#include <ctime>
#include <memory>
#include <utility>

#include "table/state_file_for_test.h"
#include "table/table.h"

namespace sluicegate::table {
namespace {

constexpr Table::Shape kWord{.state_bytes = 8, .tagged = false};

// A key that is live for ever.
class Live final : public Weigher, public Mover {
 public:
  [[nodiscard]] Weight Weigh(const std::byte* /*state*/, std::uint8_t /*variant*/,
                             Now /*now*/) const noexcept override {
    return {.used_ppm = 1, .clears_after_ns = 1};
  }
  [[nodiscard]] bool Move(const std::byte* old_state, std::uint8_t /*old_variant*/,
                          std::byte* state, std::uint8_t& variant,
                          Now /*now*/) const noexcept override {
    state[0] = old_state[0];
    variant = 0;
    return true;
  }
};

std::uint64_t ThreadNs() {
  struct timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * kSecond +
         static_cast<std::uint64_t>(time.tv_nsec);
}

class DamagedRegion : public StateFileFixture {};

// A fingerprint may be that of 2^28 ranges of hashes then, and each range lies in one of few
// buckets.
TEST_F(DamagedRegion, KeysBelowAShiftOfNothingMoveAtOnce) {
  const auto file = Open();
  const auto made = file->Attach({.name = "api/rates", .description = "1"},
                                 Table::RegionBytes(kWord, 0), [](const StateFile::Fresh& fresh) {
                                   Table::Begin(*fresh.region, kWord, fresh.id);
                                   return true;
                                 });
  ASSERT_TRUE(made.has_value());
  constexpr std::size_t kShiftAt = 4;
  (*made)->data()[kShiftAt] = std::byte{0};
  const auto table = Table::OfRegion(kWord, *made, file->owners(), nullptr);
  const Live live;
  for (unsigned char hash = 1; hash <= kSlotsPerBucket; ++hash) {
    Cell cell = table->Lock(hash);
    ASSERT_TRUE(cell.Claim(live, 0, {}));
    cell.state()[0] = std::byte{hash};
  }
  for (const std::size_t bytes : {0U, 1000U}) {
    const auto next = std::move(*table->CreateSuccessor(kWord, bytes, nullptr, true));
    const std::uint64_t before_ns = ThreadNs();
    EXPECT_TRUE(table->MoveInto(*next, live, live, {}, Table::Leave::kUsable));
    EXPECT_LT(ThreadNs() - before_ns, kSecond);
    for (unsigned char hash = 1; hash <= kSlotsPerBucket; ++hash) {
      EXPECT_EQ(next->Lock(hash).state()[0], std::byte{hash});
    }
  }
}

}  // namespace
}  // namespace sluicegate::table
