#include "base/text_writer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace sluicegate {
namespace {

TEST(TextWriter, AppendsWhatWasPutAndNothingElse) {
  for (const std::size_t expected : {0U, 1U, 8U, 1000U}) {
    std::string out = "before ";
    {
      TextWriter writer(out, expected);
      writer.Put("one");
      writer.Put("");
      writer.Put(std::string_view());
      writer.Put(std::string(300, 'x'));
    }
    EXPECT_EQ(out, "before one" + std::string(300, 'x')) << expected;
  }
}

TEST(TextWriter, PutsNumbersInDecimalDigits) {
  for (const std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{10}, std::uint64_t{99},
        std::uint64_t{100}, std::numeric_limits<std::uint64_t>::max()}) {
    std::string out;
    {
      TextWriter writer(out, 0);
      writer.PutNumber(number);
    }
    EXPECT_EQ(out, std::to_string(number));
  }
}

}  // namespace
}  // namespace sluicegate
