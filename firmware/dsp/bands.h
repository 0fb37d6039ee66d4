#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "dsp/frame.h"
#include "model/package.h"

namespace enhancer {

/// Magnitudes to stored features and stored mask to bin gains, as pipeline/dsp/frontend.py, for
/// int8 and int16 tensors. Keeps its own copy of the constants so that they sit in fast memory.
class Bands {
 public:
  /// Take the constants and quantization of a checked package.
  void load(const ModelPackage& package);

  /// Average 257 magnitudes into bands, multiply by `gain`, compress, standardize, clip, quantize.
  void features(Span<const float> magnitudes, float gain, Span<std::uint8_t> features);

  /// Dequantize a band mask and interpolate it to 257 gains.
  void gains(Span<const std::uint8_t> mask, Span<float> gains) const;

 private:
  template <typename T>
  void quantize_bands(T* stored) const;
  template <typename T>
  void spread_mask(const T* stored, Span<float> gains) const;

  FrontEndHeader header_{};
  TensorRecord features_{};
  TensorRecord mask_{};
  float mean_[kMaxBands] = {};
  float inverse_deviation_[kMaxBands] = {};
  float inverse_band_sum_[kMaxBands] = {};
  std::uint16_t first_bin_[kMaxBands] = {};
  std::uint16_t bin_count_[kMaxBands] = {};
  float weights_[kMaxBandWeights] = {};
  float bands_[kMaxBands] = {};
};

}  // namespace enhancer
