#include "model/packed_weights.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "model/container.h"
#include "package_builder.h"

namespace enhancer {
namespace {

using fake::Bytes;

Span<const std::uint8_t> view(const Bytes& bytes) { return {bytes.data(), bytes.size()}; }

/// Header and parts of a section whose code follows.
Bytes section_of(std::uint32_t bytes, const std::vector<std::uint32_t>& parts) {
  Bytes section(12 + 4 * parts.size());
  fake::patch(section, 0, bytes);
  fake::patch(section, 8, static_cast<std::uint32_t>(parts.size()));
  for (std::size_t part = 0; part < parts.size(); ++part) {
    fake::patch(section, 12 + 4 * part, parts[part]);
  }
  return section;
}

TEST(PackedWeights, PartsMakeUpTheWholeAndAreOfKnownKinds) {
  PackedWeights packed;
  EXPECT_TRUE(
      parse_packed_weights(view(section_of(48, {16 << 2, 20 << 2 | 1, 12 << 2 | 2})), packed).ok());
  EXPECT_EQ(packed.bytes, 48U);
  EXPECT_EQ(packed.parts.size(), 12U);
  EXPECT_TRUE(packed.code.empty());
  const std::vector<Bytes> flawed = {
      {},
      Bytes(11),
      section_of(0, {}),
      section_of(48, {}),
      section_of(48, {48 << 2 | 3}),
      section_of(48, {47 << 2}),
      section_of(48, {48 << 2, 1 << 2}),
      section_of(0xFFFFFFFF, {0xFFFFFFFC, 0xFFFFFFFC}),
      section_of(48, {0xFFFFFFFC, 49 << 2}),
  };
  for (const Bytes& section : flawed) {
    EXPECT_EQ(parse_packed_weights(view(section), packed).error, Error::kPackageMalformed);
  }
  Bytes short_table = section_of(48, {48 << 2});
  fake::patch<std::uint32_t>(short_table, 8, 2);
  EXPECT_EQ(parse_packed_weights(view(short_table), packed).error, Error::kPackageMalformed);
}

/// Whatever the code holds, unpacking ends, and inside of its memory: the sanitizers watch.
TEST(PackedWeights, AnyCodeEndsInAnError) {
  std::mt19937 random(7);
  static WeightsUnpacker unpacker;
  for (int round = 0; round < 600; ++round) {
    const auto kind = static_cast<std::uint32_t>(random() % 3);
    const auto last = static_cast<std::uint32_t>(random() % 3);
    const auto bytes = static_cast<std::uint32_t>(1 + random() % 400);
    Bytes section = section_of(bytes + 16, {bytes << 2 | kind, 16U << 2 | last});
    const std::size_t code = random() % 500;
    // Codes that begin with bytes of one kind lead far into slices.
    const auto first = static_cast<std::uint8_t>(random());
    for (std::size_t byte = 0; byte < code; ++byte) {
      section.push_back(byte < code / 2 ? first : static_cast<std::uint8_t>(random()));
    }
    PackedWeights packed;
    ASSERT_TRUE(parse_packed_weights(view(section), packed).ok());
    Bytes weights(packed.bytes);
    EXPECT_FALSE(unpacker.unpack(packed, {weights.data(), weights.size()}).ok());
  }
}

}  // namespace
}  // namespace enhancer
