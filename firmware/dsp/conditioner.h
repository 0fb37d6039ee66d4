#pragma once

#include <cstdint>

#include "base/span.h"

namespace enhancer {

/// Follows offset and level of the input hop by hop, as pipeline/dsp/conditioning.py: what is
/// carried on are integers, so both compute the same bits.
class Conditioner {
 public:
  /// Forget all audio.
  void reset();

  /// Subtract the offset from a hop of samples in -1..1, and return the gain for the magnitudes of
  /// the frame that ends with it.
  float process(Span<float> hop);

 private:
  std::int64_t offset_ = 0;  ///< In steps of 16 bits, times 2^16.
  std::int64_t level_ = 0;   ///< Energy of a hop in squares of such steps, times 2^8.
  std::uint32_t seen_ = 0;   ///< Hops, as far as they matter.
};

}  // namespace enhancer
