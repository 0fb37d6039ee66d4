#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "dsp/bands.h"
#include "dsp/conditioner.h"
#include "dsp/stft.h"
#include "engine/engine.h"

namespace enhancer {

/// Cost of one hop.
struct HopCost {
  std::uint64_t features_ticks = 0;   ///< STFT, bands, quantization.
  std::uint64_t inference_ticks = 0;  ///< Copies, NPU job, waiting.
  std::uint64_t synthesis_ticks = 0;  ///< Gains, inverse STFT, overlap-add.
  std::uint32_t retries = 0;          ///< Inferences that failed and were run again.
  NpuCounters npu;

  std::uint64_t total_ticks() const { return features_ticks + inference_ticks + synthesis_ticks; }
  HopCost& operator+=(const HopCost& other) {
    features_ticks += other.features_ticks;
    inference_ticks += other.inference_ticks;
    synthesis_ticks += other.synthesis_ticks;
    retries += other.retries;
    npu += other.npu;
    return *this;
  }
};

/// The whole enhancer: 256 noisy samples in, 256 enhanced samples of one hop earlier out.
class StreamEnhancer {
 public:
  /// Use a loaded engine and the constants of its package, which has a front end; forget all audio
  /// and state.
  void start(Engine& engine, const ModelPackage& package);

  Status process(Span<const float> noisy, Span<float> enhanced, HopCost& cost);

  /// What went into and came out of the network in the last hop, as stored.
  Span<const std::uint8_t> features() const { return {features_, feature_bytes_}; }
  Span<const std::uint8_t> mask() const { return {mask_, mask_bytes_}; }

 private:
  /// One inference; after a failure, from which the NPU has been reset, once more.
  Status infer(HopCost& cost);

  Engine* engine_ = nullptr;
  int attempts_ = 1;
  std::size_t feature_bytes_ = 0;
  std::size_t mask_bytes_ = 0;
  bool conditioned_ = false;
  Conditioner conditioner_;
  Stft stft_;
  Bands bands_;
  Stft::Spectrum spectrum_ = {};
  float hop_[kHopSamples] = {};
  float bins_[kBins] = {};
  alignas(std::int16_t) std::uint8_t features_[kMaxBandBytes] = {};
  alignas(std::int16_t) std::uint8_t mask_[kMaxBandBytes] = {};
};

}  // namespace enhancer
