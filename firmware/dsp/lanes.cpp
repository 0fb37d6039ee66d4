#include "dsp/lanes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/saturate.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2) != 0
#include <arm_mve.h>
#define HAS_HELIUM 1
#endif

namespace enhancer {
namespace {

constexpr float kFullScale = 32768.0F;

#if HAS_HELIUM
int32x4_t load(const std::int8_t* from) { return vldrbq_s32(from); }
int32x4_t load(const std::int16_t* from) { return vldrhq_s32(from); }
void store(std::int8_t* to, int32x4_t value) { vstrbq_s32(to, value); }
void store(std::int16_t* to, int32x4_t value) { vstrhq_s32(to, value); }

template <typename T>
int32x4_t saturate_lanes(float32x4_t value) {
  const int32x4_t lowest = vdupq_n_s32(std::numeric_limits<T>::min());
  const int32x4_t highest = vdupq_n_s32(std::numeric_limits<T>::max());
  return vminq_s32(vmaxq_s32(vcvtnq_s32_f32(value), lowest), highest);
}
#endif

}  // namespace

#if HAS_HELIUM

void from_pcm(const std::int16_t* pcm, std::size_t count, float* samples) {
  for (std::size_t n = 0; n < count; n += kLanes) {
    vstrwq_f32(samples + n, vmulq_n_f32(vcvtq_f32_s32(load(pcm + n)), 1 / kFullScale));
  }
}

void to_pcm(const float* samples, std::size_t count, std::int16_t* pcm) {
  for (std::size_t n = 0; n < count; n += kLanes) {
    const float32x4_t scaled = vmulq_n_f32(vldrwq_f32(samples + n), kFullScale);
    store(pcm + n, saturate_lanes<std::int16_t>(scaled));
  }
}

template <typename T>
void quantize(const float* values, std::size_t count, float limit, float inverse_scale,
              std::int32_t zero_point, T* stored) {
  const float32x4_t highest = vdupq_n_f32(limit);
  const float32x4_t lowest = vdupq_n_f32(-limit);
  const auto offset = static_cast<float>(zero_point);
  for (std::size_t n = 0; n < count; n += kLanes) {
    const float32x4_t value = vminnmq_f32(vmaxnmq_f32(vldrwq_f32(values + n), lowest), highest);
    const float32x4_t steps = vrndnq_f32(vmulq_n_f32(value, inverse_scale));
    store(stored + n, saturate_lanes<T>(vaddq_n_f32(steps, offset)));
  }
}

template <typename T>
void dequantize(const T* stored, std::size_t count, float scale, std::int32_t zero_point,
                float* values) {
  for (std::size_t n = 0; n < count; n += kLanes) {
    const int32x4_t steps = vsubq_n_s32(load(stored + n), zero_point);
    vstrwq_f32(values + n, vmulq_n_f32(vcvtq_f32_s32(steps), scale));
  }
}

void sum_runs(const float* values, std::size_t last, const float* weights, const Runs& runs,
              std::size_t count, float* sums) {
  const uint32x4_t last_value = vdupq_n_u32(last);
  for (std::size_t n = 0; n < count; n += kLanes) {
    uint32x4_t value = vldrhq_u32(runs.first + n);
    uint32x4_t weight = vldrhq_u32(runs.weight + n);
    const uint32x4_t length = vldrhq_u32(runs.length + n);
    // Lanes whose run has ended stay at the zero behind its weights.
    const uint32x4_t zero = vaddq_u32(weight, length);
    float32x4_t sum = vdupq_n_f32(0);
    for (std::uint32_t left = vmaxvq_u32(0, length); left > 0; --left) {
      sum = vfmaq_f32(sum, vldrwq_gather_shifted_offset_f32(values, value),
                      vldrwq_gather_shifted_offset_f32(weights, weight));
      value = vminq_u32(vaddq_n_u32(value, 1), last_value);
      weight = vminq_u32(vaddq_n_u32(weight, 1), zero);
    }
    vstrwq_f32(sums + n, sum);
  }
}

void interpolate(const float* values, const std::uint16_t* index, const float* lower,
                 const float* upper, std::size_t count, float* sums) {
  for (std::size_t n = 0; n < count; n += kLanes) {
    const uint32x4_t at = vldrhq_u32(index + n);
    const float32x4_t below = vldrwq_gather_shifted_offset_f32(values, at);
    const float32x4_t above = vldrwq_gather_shifted_offset_f32(values + 1, at);
    vstrwq_f32(sums + n,
               vfmaq_f32(vmulq_f32(below, vldrwq_f32(lower + n)), above, vldrwq_f32(upper + n)));
  }
}

#else

void from_pcm(const std::int16_t* pcm, std::size_t count, float* samples) {
  for (std::size_t n = 0; n < count; ++n) {
    samples[n] = static_cast<float>(pcm[n]) / kFullScale;
  }
}

void to_pcm(const float* samples, std::size_t count, std::int16_t* pcm) {
  for (std::size_t n = 0; n < count; ++n) {
    pcm[n] = saturate<std::int16_t>(samples[n] * kFullScale);
  }
}

template <typename T>
void quantize(const float* values, std::size_t count, float limit, float inverse_scale,
              std::int32_t zero_point, T* stored) {
  for (std::size_t n = 0; n < count; ++n) {
    const float value = std::clamp(values[n], -limit, limit);
    stored[n] = saturate<T>(std::nearbyint(value * inverse_scale) + static_cast<float>(zero_point));
  }
}

template <typename T>
void dequantize(const T* stored, std::size_t count, float scale, std::int32_t zero_point,
                float* values) {
  for (std::size_t n = 0; n < count; ++n) {
    values[n] = scale * static_cast<float>(stored[n] - zero_point);
  }
}

void sum_runs(const float* values, std::size_t /*last*/, const float* weights, const Runs& runs,
              std::size_t count, float* sums) {
  for (std::size_t n = 0; n < count; ++n) {
    const float* value = values + runs.first[n];
    const float* weight = weights + runs.weight[n];
    float sum = 0;
    for (std::size_t step = 0; step < runs.length[n]; ++step) {
      sum += value[step] * weight[step];
    }
    sums[n] = sum;
  }
}

void interpolate(const float* values, const std::uint16_t* index, const float* lower,
                 const float* upper, std::size_t count, float* sums) {
  for (std::size_t n = 0; n < count; ++n) {
    const float* value = values + index[n];
    sums[n] = lower[n] * value[0] + upper[n] * value[1];
  }
}

#endif

template void quantize(const float*, std::size_t, float, float, std::int32_t, std::int8_t*);
template void quantize(const float*, std::size_t, float, float, std::int32_t, std::int16_t*);
template void dequantize(const std::int8_t*, std::size_t, float, std::int32_t, float*);
template void dequantize(const std::int16_t*, std::size_t, float, std::int32_t, float*);

}  // namespace enhancer
