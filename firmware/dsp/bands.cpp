#include "dsp/bands.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "arm_math_types.h"
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
  feature_inverse_scale_ = 1.0F / package.features.scale;
  feature_zero_point_ = static_cast<float>(package.features.zero_point);
  mask_scale_ = package.mask.scale;
  mask_zero_point_ = package.mask.zero_point;
  copy(constants.mean, mean_);
  copy(constants.inverse_deviation, inverse_deviation_);
  copy(constants.inverse_band_sum, inverse_band_sum_);
  copy(constants.first_bin, first_bin_);
  copy(constants.bin_count, bin_count_);
  copy(constants.weights, weights_);
}

void Bands::features(Span<const float> magnitudes, Span<std::int8_t> features) {
  const std::uint32_t bands = header_.bands;
  const float* weights = weights_;
  for (std::size_t band = 0; band < bands; ++band) {
    const float* bins = magnitudes.data() + first_bin_[band];
    float sum = 0;
    for (std::size_t bin = 0; bin < bin_count_[band]; ++bin) {
      sum += bins[bin] * weights[bin];
    }
    weights += bin_count_[band];
    bands_[band] = std::max(sum * inverse_band_sum_[band], FLT_MIN);
  }
  arm_vlog_f32(bands_, bands_, bands);
  arm_scale_f32(bands_, header_.power_exponent, bands_, bands);
  arm_vexp_f32(bands_, bands_, bands);
  arm_sub_f32(bands_, mean_, bands_, bands);
  arm_mult_f32(bands_, inverse_deviation_, bands_, bands);
  for (std::size_t band = 0; band < bands; ++band) {
    const float value = std::clamp(bands_[band], -header_.feature_limit, header_.feature_limit);
    const float quantized = std::nearbyint(value * feature_inverse_scale_) + feature_zero_point_;
    features[band] = static_cast<std::int8_t>(std::clamp(quantized, -128.0F, 127.0F));
  }
}

void Bands::gains(Span<const std::int8_t> mask, Span<float> gains) const {
  std::fill(gains.begin(), gains.end(), 0.0F);
  const float* weights = weights_;
  for (std::size_t band = 0; band < header_.bands; ++band) {
    const float value = mask_scale_ * static_cast<float>(mask[band] - mask_zero_point_);
    float* bins = gains.data() + first_bin_[band];
    for (std::size_t bin = 0; bin < bin_count_[band]; ++bin) {
      bins[bin] += value * weights[bin];
    }
    weights += bin_count_[band];
  }
}

}  // namespace enhancer
