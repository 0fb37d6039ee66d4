#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "dsp/frame.h"
#include "model/package.h"

namespace enhancer {

/// Magnitudes to int8 features and int8 mask to bin gains, as pipeline/dsp/frontend.py. Keeps its
/// own copy of the constants so that they sit in fast memory.
class Bands {
 public:
  /// Take the constants and quantization of a checked package.
  void load(const ModelPackage& package);

  /// Average 257 magnitudes into bands, compress, standardize, clip, quantize.
  void features(Span<const float> magnitudes, Span<std::int8_t> features);

  /// Dequantize a band mask and interpolate it to 257 gains.
  void gains(Span<const std::int8_t> mask, Span<float> gains) const;

 private:
  FrontEndHeader header_{};
  float feature_inverse_scale_ = 0;
  float feature_zero_point_ = 0;
  float mask_scale_ = 0;
  std::int32_t mask_zero_point_ = 0;
  float mean_[kMaxBands] = {};
  float inverse_deviation_[kMaxBands] = {};
  float inverse_band_sum_[kMaxBands] = {};
  std::uint16_t first_bin_[kMaxBands] = {};
  std::uint16_t bin_count_[kMaxBands] = {};
  float weights_[kMaxBandWeights] = {};
  float bands_[kMaxBands] = {};
};

}  // namespace enhancer
