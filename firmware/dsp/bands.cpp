#include "dsp/bands.h"

#include <algorithm>
#include <cfloat>
#include <cstring>

#include "arm_math_types.h"
#include "dsp/basic_math_functions.h"
#include "dsp/fast_math_functions.h"
#include "dsp/lanes.h"

namespace enhancer {
namespace {

template <typename T>
void copy(Span<const T> from, T* to) {
  std::memcpy(to, from.data(), from.size() * sizeof(T));
}

template <typename T, std::size_t N>
void clear(T (&array)[N]) {
  std::memset(array, 0, sizeof array);
}

}  // namespace

void Bands::load(const ModelPackage& package) {
  const FrontEndConstants& constants = package.front_end;
  // Lanes behind the last band or bin index the first one, with weight zero.
  clear(first_bin_);
  clear(bin_count_);
  clear(first_weight_);
  clear(lower_band_);
  clear(lower_);
  clear(upper_);
  header_ = constants.header;
  features_ = package.features();
  mask_ = package.mask();
  copy(constants.mean, mean_);
  copy(constants.inverse_deviation, inverse_deviation_);
  copy(constants.inverse_band_sum, inverse_band_sum_);
  copy(constants.first_bin, first_bin_);
  copy(constants.bin_count, bin_count_);
  const float* weight = constants.weights.data();
  std::size_t stored = 0;
  std::size_t unseen = 0;  // Bins from here on are in no band so far.
  for (std::size_t band = 0; band < header_.bands; ++band) {
    first_weight_[band] = static_cast<std::uint16_t>(stored);
    const std::size_t end = first_bin_[band] + std::size_t{bin_count_[band]};
    for (std::size_t bin = first_bin_[band]; bin < end; ++bin) {
      weights_[stored++] = *weight;
      if (bin < unseen) {
        upper_[bin] = *weight++;
      } else {
        lower_[bin] = *weight++;
        lower_band_[bin] = static_cast<std::uint16_t>(band);
      }
    }
    weights_[stored++] = 0;
    unseen = std::max(unseen, end);
  }
}

void Bands::features(Span<const float> magnitudes, float gain, Span<std::uint8_t> features) {
  const std::uint32_t bands = header_.bands;
  sum_runs(magnitudes.data(), kBins - 1, weights_, {first_bin_, bin_count_, first_weight_}, bands,
           bands_);
  arm_mult_f32(bands_, inverse_band_sum_, bands_, bands);
  arm_scale_f32(bands_, gain, bands_, bands);
  arm_clip_f32(bands_, bands_, FLT_MIN, FLT_MAX, bands);
  arm_vlog_f32(bands_, bands_, bands);
  arm_scale_f32(bands_, header_.power_exponent, bands_, bands);
  arm_vexp_f32(bands_, bands_, bands);
  arm_sub_f32(bands_, mean_, bands_, bands);
  arm_mult_f32(bands_, inverse_deviation_, bands_, bands);
  const float limit = header_.feature_limit;
  const float inverse_scale = 1.0F / features_.scale;
  // The buffers of tensors are aligned for any type.
  if (features_.type == TensorType::kInt16) {
    quantize(bands_, bands, limit, inverse_scale, features_.zero_point,
             reinterpret_cast<std::int16_t*>(features.data()));
  } else {
    quantize(bands_, bands, limit, inverse_scale, features_.zero_point,
             reinterpret_cast<std::int8_t*>(features.data()));
  }
}

void Bands::gains(Span<const std::uint8_t> mask, Span<float> gains) {
  if (mask_.type == TensorType::kInt16) {
    dequantize(reinterpret_cast<const std::int16_t*>(mask.data()), header_.bands, mask_.scale,
               mask_.zero_point, bands_);
  } else {
    dequantize(reinterpret_cast<const std::int8_t*>(mask.data()), header_.bands, mask_.scale,
               mask_.zero_point, bands_);
  }
  bands_[header_.bands] = 0;  // The band above the last one.
  interpolate(bands_, lower_band_, lower_, upper_, kBins, gains.data());
}

}  // namespace enhancer
