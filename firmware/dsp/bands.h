#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "dsp/frame.h"
#include "dsp/lanes.h"
#include "model/package.h"

namespace enhancer {

/// Room for the stored values of all bands, for loops of whole lanes.
constexpr std::size_t kPaddedBandBytes = padded(kMaxBands) * sizeof(std::int16_t);

/// Magnitudes to stored features and stored mask to bin gains, as pipeline/dsp/frontend.py, for
/// int8 and int16 tensors. Keeps its own copy of the constants so that they sit in fast memory.
class Bands {
 public:
  /// Take the constants and quantization of a checked package.
  void load(const ModelPackage& package);

  /// Average 257 magnitudes into bands, multiply by `gain`, compress, standardize, clip, quantize.
  /// All arrays have room for a whole number of lanes (lanes.h).
  void features(Span<const float> magnitudes, float gain, Span<std::uint8_t> features);

  /// Dequantize a band mask and interpolate it to 257 gains.
  void gains(Span<const std::uint8_t> mask, Span<float> gains);

 private:
  FrontEndHeader header_{};
  TensorRecord features_{};
  TensorRecord mask_{};
  float mean_[kMaxBands] = {};
  float inverse_deviation_[kMaxBands] = {};
  float inverse_band_sum_[kMaxBands] = {};
  std::uint16_t first_bin_[padded(kMaxBands)] = {};
  std::uint16_t bin_count_[padded(kMaxBands)] = {};
  std::uint16_t first_weight_[padded(kMaxBands)] = {};
  float weights_[kMaxBandWeights + kMaxBands] = {};
  // The same by bin: the lower of the two bands around it, and the weights of both.
  std::uint16_t lower_band_[padded(kBins)] = {};
  float lower_[padded(kBins)] = {};
  float upper_[padded(kBins)] = {};
  float bands_[padded(kMaxBands + 1)] = {};
};

}  // namespace enhancer
