#include "dsp/bands.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "arm_math_types.h"
#include "base/saturate.h"
#include "dsp/basic_math_functions.h"
#include "dsp/fast_math_functions.h"

namespace enhancer {
namespace {

template <typename T>
void copy(Span<const T> from, T* to) {
  std::memcpy(to, from.data(), from.size() * sizeof(T));
}

}  // namespace

void Bands::load(const ModelPackage& package) {
  const FrontEndConstants& constants = package.front_end;
  header_ = constants.header;
  features_ = package.features();
  mask_ = package.mask();
  copy(constants.mean, mean_);
  copy(constants.inverse_deviation, inverse_deviation_);
  copy(constants.inverse_band_sum, inverse_band_sum_);
  copy(constants.first_bin, first_bin_);
  copy(constants.bin_count, bin_count_);
  copy(constants.weights, weights_);
}

void Bands::features(Span<const float> magnitudes, float gain, Span<std::uint8_t> features) {
  const std::uint32_t bands = header_.bands;
  const float* weights = weights_;
  for (std::size_t band = 0; band < bands; ++band) {
    const float* bins = magnitudes.data() + first_bin_[band];
    float sum = 0;
    for (std::size_t bin = 0; bin < bin_count_[band]; ++bin) {
      sum += bins[bin] * weights[bin];
    }
    weights += bin_count_[band];
    bands_[band] = std::max(sum * inverse_band_sum_[band] * gain, FLT_MIN);
  }
  arm_vlog_f32(bands_, bands_, bands);
  arm_scale_f32(bands_, header_.power_exponent, bands_, bands);
  arm_vexp_f32(bands_, bands_, bands);
  arm_sub_f32(bands_, mean_, bands_, bands);
  arm_mult_f32(bands_, inverse_deviation_, bands_, bands);
  // The buffers of tensors are aligned for any type.
  if (features_.type == TensorType::kInt16) {
    quantize_bands(reinterpret_cast<std::int16_t*>(features.data()));
  } else {
    quantize_bands(reinterpret_cast<std::int8_t*>(features.data()));
  }
}

template <typename T>
void Bands::quantize_bands(T* stored) const {
  const float inverse_scale = 1.0F / features_.scale;
  const auto zero_point = static_cast<float>(features_.zero_point);
  for (std::size_t band = 0; band < header_.bands; ++band) {
    const float value = std::clamp(bands_[band], -header_.feature_limit, header_.feature_limit);
    stored[band] = saturate<T>(std::nearbyint(value * inverse_scale) + zero_point);
  }
}

void Bands::gains(Span<const std::uint8_t> mask, Span<float> gains) const {
  if (mask_.type == TensorType::kInt16) {
    spread_mask(reinterpret_cast<const std::int16_t*>(mask.data()), gains);
  } else {
    spread_mask(reinterpret_cast<const std::int8_t*>(mask.data()), gains);
  }
}

template <typename T>
void Bands::spread_mask(const T* stored, Span<float> gains) const {
  std::fill(gains.begin(), gains.end(), 0.0F);
  const float* weights = weights_;
  for (std::size_t band = 0; band < header_.bands; ++band) {
    const float value = mask_.scale * static_cast<float>(stored[band] - mask_.zero_point);
    float* bins = gains.data() + first_bin_[band];
    for (std::size_t bin = 0; bin < bin_count_[band]; ++bin) {
      bins[bin] += value * weights[bin];
    }
    weights += bin_count_[band];
  }
}

}  // namespace enhancer
