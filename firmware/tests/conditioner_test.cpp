#include "dsp/conditioner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "dsp/frame.h"

namespace enhancer {
namespace {

/// The signal and the numbers of tests/dsp/test_conditioning.py: both sides compute the same bits.
struct Expected {
  std::size_t hop;
  int offset;
  float gain;
};
constexpr Expected kExpected[] = {{0, 561, 0x1.3bd514p+0F},  {1, 534, 0x1.42708cp+0F},
                                  {2, 509, 0x1.42299ep+0F},  {7, 515, 0x1.408888p+0F},
                                  {16, 508, 0x1.31ff30p+0F}, {31, 502, 0x1.b170e8p-1F},
                                  {32, 506, 0x1.a6927ap-1F}, {47, 501, 0x1.4d6070p-1F}};

int pcm(std::size_t sample) {
  const auto n = static_cast<int>(sample);
  return (n * 7919 % 4001 - 2000) * (1 + n / 4096 % 3) + 500;
}

TEST(Conditioner, ComputesTheBitsOfThePipeline) {
  Conditioner conditioner;
  const auto* expected = kExpected;
  for (std::size_t hop = 0; hop < 48; ++hop) {
    float samples[kHopSamples];
    for (std::size_t n = 0; n < kHopSamples; ++n) {
      samples[n] = static_cast<float>(pcm(hop * kHopSamples + n)) / 32768.0F;
    }
    const float before = samples[0];
    const float gain = conditioner.process(samples);
    if (hop == expected->hop) {
      EXPECT_EQ(gain, expected->gain) << hop;
      EXPECT_EQ((before - samples[0]) * 32768.0F, static_cast<float>(expected->offset)) << hop;
      ++expected;
    }
  }
  EXPECT_EQ(expected, std::end(kExpected));
}

TEST(Conditioner, ResetForgets) {
  Conditioner conditioner;
  std::vector<float> loud(kHopSamples, 0.9F);
  loud[0] = -0.9F;
  conditioner.process({loud.data(), loud.size()});
  conditioner.reset();
  Conditioner fresh;
  float first[kHopSamples] = {0.25F};
  float second[kHopSamples] = {0.25F};
  EXPECT_EQ(conditioner.process(first), fresh.process(second));
  EXPECT_EQ(first[0], second[0]);
}

TEST(Conditioner, SilenceAndFullScaleStayFinite) {
  for (const float value : {0.0F, -1.0F, 1.0F, 1e6F}) {
    Conditioner conditioner;
    for (int hop = 0; hop < 200; ++hop) {
      float samples[kHopSamples];
      for (std::size_t n = 0; n < kHopSamples; ++n) {
        samples[n] = n % 2 == 0 ? value : -value;
      }
      const float gain = conditioner.process(samples);
      EXPECT_GT(gain, 0.04F);
      EXPECT_LT(gain, 182.0F);
    }
  }
}

}  // namespace
}  // namespace enhancer
