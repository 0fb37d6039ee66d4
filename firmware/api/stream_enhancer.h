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
  NpuCounters npu;

  std::uint64_t total_ticks() const { return features_ticks + inference_ticks + synthesis_ticks; }
  HopCost& operator+=(const HopCost& other) {
    features_ticks += other.features_ticks;
    inference_ticks += other.inference_ticks;
    synthesis_ticks += other.synthesis_ticks;
    npu += other.npu;
    return *this;
  }
};

/// What became of hops. Those passed through come out as they went in, as late as all others.
struct HopCounts {
  std::uint32_t hops = 0;
  std::uint32_t retried = 0;  ///< Run again after a fault.
  std::uint32_t failed = 0;   ///< Passed through after a fault.
  std::uint32_t late = 0;  ///< Not done by the deadline: passed through if it was the NPU's fault.
};

/// When a hop comes out.
enum class Schedule {
  kAtOnce,     ///< The CPU waits for the NPU: one hop after it went in.
  kPipelined,  ///< The NPU works between calls, while the CPU does all else: two hops after.
};

constexpr std::size_t kMaxLatencyHops = 2;

/// The whole enhancer: 256 noisy samples in, 256 enhanced samples of an earlier hop out.
class StreamEnhancer {
 public:
  /// Use a loaded engine and the constants of its package, which has a front end; forget all audio
  /// and state.
  void start(Engine& engine, const ModelPackage& package, Schedule schedule);

  /// Give up what the NPU has not done this long after a call of process(): at first a second.
  void set_deadline(std::uint32_t microseconds);

  /// After an error, which is one of the hop that is due, that hop has been passed through and the
  /// next may follow.
  Status process(Span<const float> noisy, Span<float> enhanced, HopCost& cost);

  /// How many hops after it went in a hop comes out.
  std::size_t latency_hops() const {
    return schedule_ == Schedule::kPipelined ? kMaxLatencyHops : 1;
  }

  /// Since start().
  const HopCounts& counts() const { return counts_; }

  /// What went into and came out of the network for the hop that came out last, as stored.
  Span<const std::uint8_t> features() const { return {frames_[out_].features, feature_bytes_}; }
  Span<const std::uint8_t> mask() const { return {mask_, mask_bytes_}; }

 private:
  /// A hop on its way.
  struct Frame {
    Stft::Spectrum spectrum = {};
    alignas(std::int16_t) std::uint8_t features[kPaddedBandBytes] = {};
  };

  void analyse(Span<const float> noisy, Frame& frame, HopCost& cost);
  /// Unless the model's gate lets this hop pass: then the mask stays, and the NPU rests.
  void start_inference(const Frame& frame, HopCost& cost);
  /// Wait for its end, if it was started; after a failure, from which the NPU has been reset, run
  /// it once more if there is time.
  Status finish_inference(const Frame& frame, HopCost& cost);
  /// With the mask, or with none.
  void synthesise(Frame& frame, bool masked, Span<float> enhanced, HopCost& cost);
  void count(const Status& status);
  std::uint64_t ticks_left() const;

  Engine* engine_ = nullptr;
  Schedule schedule_ = Schedule::kAtOnce;
  const TensorRecord* gate_ = nullptr;  ///< Of a model that has one.
  std::uint32_t skips_ = 0;             ///< Hops that it lets pass.
  bool is_running_ = false;
  int attempts_ = 1;
  std::uint64_t allowed_ticks_ = longest_job_ticks();
  std::uint64_t deadline_ticks_ = 0;  ///< Of this call.
  HopCounts counts_;
  std::size_t feature_bytes_ = 0;
  std::size_t mask_bytes_ = 0;
  bool conditioned_ = false;
  Conditioner conditioner_;
  Stft stft_;
  Bands bands_;
  Frame frames_[2];
  std::size_t out_ = 0;  ///< The one that came out last.
  float hop_[kHopSamples] = {};
  float bins_[padded(kBins)] = {};
  alignas(std::int16_t) std::uint8_t mask_[kPaddedBandBytes] = {};
};

}  // namespace enhancer
