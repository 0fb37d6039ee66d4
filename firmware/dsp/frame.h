#pragma once

#include <cstddef>
#include <cstdint>

namespace enhancer {

/// The framing that pipeline/dsp and every model share.
constexpr std::uint32_t kRateHz = 16000;
constexpr std::size_t kFrameSamples = 512;
constexpr std::size_t kHopSamples = kFrameSamples / 2;
constexpr std::size_t kBins = kFrameSamples / 2 + 1;
constexpr std::size_t kMaxBands = kBins;
/// Room for a stored value of up to 16 bits for each band.
constexpr std::size_t kMaxBandBytes = kMaxBands * sizeof(std::int16_t);
/// Triangular bands that sum to one overlap at most two to a bin.
constexpr std::size_t kMaxBandWeights = 2 * kBins;

}  // namespace enhancer
