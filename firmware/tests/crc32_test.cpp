#include "base/crc32.h"

#include <gtest/gtest.h>

namespace enhancer {
namespace {

TEST(Crc32, MatchesThePublishedCheckValue) {
  const std::uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  EXPECT_EQ(crc32(digits), 0xCBF43926U);
}

TEST(Crc32, OfNothingIsZero) { EXPECT_EQ(crc32({}), 0U); }

}  // namespace
}  // namespace enhancer
