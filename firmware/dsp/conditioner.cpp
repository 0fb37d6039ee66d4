#include "dsp/conditioner.h"

#include <algorithm>
#include <cmath>

#include "arm_math_types.h"
#include "dsp/basic_math_functions.h"
#include "dsp/frame.h"
#include "dsp/lanes.h"

namespace enhancer {
namespace {

constexpr float kFullScale = 32768.0F;
constexpr unsigned kHopBits = 8;
static_assert(kHopSamples == 1U << kHopBits);
// The constants of pipeline/dsp/conditioning.py, where they are explained.
constexpr unsigned kOffsetShift = 5;
constexpr unsigned kLevelShift = 6;
constexpr std::uint32_t kHopsThatMatter = 1U << kLevelShift;
constexpr unsigned kOffsetFractionBits = 16;
constexpr unsigned kLevelFractionBits = 8;
constexpr std::int64_t kNominalLevel = std::int64_t{1} << (30 + kHopBits + kLevelFractionBits - 9);
constexpr std::int64_t kLowestLevel = kNominalLevel >> 15;

/// Number of bits of `value`.
unsigned bit_length(std::uint32_t value) {
  unsigned bits = 0;
  while ((value >> bits) != 0) {
    ++bits;
  }
  return bits;
}

}  // namespace

void Conditioner::reset() { *this = Conditioner(); }

float Conditioner::process(Span<float> hop) {
  const unsigned age = bit_length(seen_);
  seen_ = std::min(seen_ + 1, kHopsThatMatter);
  std::int16_t pcm[kHopSamples];
  to_pcm(hop.data(), kHopSamples, pcm);
  std::int32_t total = 0;
  for (const std::int16_t sample : pcm) {
    total += sample;
  }
  offset_ += (std::int64_t{total} * (1 << (kOffsetFractionBits - kHopBits)) - offset_) >>
             std::min(age, kOffsetShift);
  const std::int64_t offset = (offset_ + (1 << (kOffsetFractionBits - 1))) >> kOffsetFractionBits;
  std::int64_t energy = 0;
  for (const std::int16_t sample : pcm) {
    const auto centred = static_cast<std::int32_t>(sample - offset);
    energy += std::int64_t{centred} * centred;
  }
  arm_offset_f32(hop.data(), -static_cast<float>(offset) / kFullScale, hop.data(), kHopSamples);
  energy *= 1 << kLevelFractionBits;
  level_ += (energy - level_) >> std::min(age, kLevelShift);
  const std::int64_t level = std::max(level_, kLowestLevel);
  return std::sqrt(static_cast<float>(kNominalLevel) / static_cast<float>(level));
}

}  // namespace enhancer
