#pragma once

#include <cstddef>
#include <cstdint>

/// Loops over arrays that CMSIS-DSP does not have, four lanes at a time where the CPU has Helium.
/// Every array but weights has room for a whole number of lanes: what is behind `count` is read,
/// and written, and does not matter as long as an index there is one of the array.
namespace enhancer {

constexpr std::size_t kLanes = 4;

/// The next whole number of lanes.
constexpr std::size_t padded(std::size_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

/// Samples of 16 bits to -1..1.
void from_pcm(const std::int16_t* pcm, std::size_t count, float* samples);

/// And back: nearest, ties to even, saturated.
void to_pcm(const float* samples, std::size_t count, std::int16_t* pcm);

/// Clip to -limit..limit and quantize; T is int8 or int16.
template <typename T>
void quantize(const float* values, std::size_t count, float limit, float inverse_scale,
              std::int32_t zero_point, T* stored);

template <typename T>
void dequantize(const T* stored, std::size_t count, float scale, std::int32_t zero_point,
                float* values);

/// Runs of elements of an array: where each begins, how long it is, and where its weights begin,
/// which a zero follows.
struct Runs {
  const std::uint16_t* first;
  const std::uint16_t* length;
  const std::uint16_t* weight;
};

/// Weighted sums over runs of values, which are finite; the last one has number `last`.
void sum_runs(const float* values, std::size_t last, const float* weights, const Runs& runs,
              std::size_t count, float* sums);

/// sums[n] = lower[n] * values[index[n]] + upper[n] * values[index[n] + 1].
void interpolate(const float* values, const std::uint16_t* index, const float* lower,
                 const float* upper, std::size_t count, float* sums);

}  // namespace enhancer
