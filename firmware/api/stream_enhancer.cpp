#include "api/stream_enhancer.h"

#include <cstring>

#include "dsp/support_functions.h"
#include "engine/update_gate.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

/// Adds the ticks from construction to destruction.
class Stopwatch {
 public:
  explicit Stopwatch(std::uint64_t& sum) : sum_(sum), start_(platform::ticks()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { sum_ += platform::ticks() - start_; }

 private:
  std::uint64_t& sum_;
  std::uint64_t start_;
};

}  // namespace

void StreamEnhancer::start(Engine& engine, const ModelPackage& package, Schedule schedule) {
  if (is_running_) {
    // What is forgotten must not be at work any more.
    NpuCounters counters;
    (void)engine_->wait(counters);
  }
  engine_ = &engine;
  schedule_ = schedule;
  gate_ = package.gate.size() == 0 ? nullptr : &package.gate[0];
  skips_ = 0;
  is_running_ = false;
  feature_bytes_ = package.features().bytes;
  mask_bytes_ = package.mask().bytes;
  bands_.load(package);
  conditioned_ = package.front_end.header.conditioned != 0;
  conditioner_.reset();
  // A failed job leaves states as they were, but not variables in the arena.
  attempts_ = package.variables.size() == 0 ? 2 : 1;
  stft_.reset();
  for (Frame& frame : frames_) {
    std::memset(frame.spectrum, 0, sizeof frame.spectrum);
    std::memset(frame.features, 0, sizeof frame.features);
  }
  std::memset(mask_, 0, sizeof mask_);
  engine.reset_state();
}

Status StreamEnhancer::process(Span<const float> noisy, Span<float> enhanced, HopCost& cost) {
  if (schedule_ == Schedule::kAtOnce) {
    Frame& frame = frames_[out_];
    analyse(noisy, frame, cost);
    start_inference(frame, cost);
    const Status status = finish_inference(frame, cost);
    if (status.ok()) {
      synthesise(frame, enhanced, cost);
    }
    return status;
  }
  Frame& next = frames_[out_];
  out_ = 1 - out_;
  Frame& due = frames_[out_];
  analyse(noisy, next, cost);
  const Status status = finish_inference(due, cost);
  start_inference(next, cost);
  if (status.ok()) {
    synthesise(due, enhanced, cost);
  }
  return status;
}

void StreamEnhancer::analyse(Span<const float> noisy, Frame& frame, HopCost& cost) {
  const Stopwatch stopwatch(cost.features_ticks);
  float gain = 1.0F;
  if (conditioned_) {
    arm_copy_f32(noisy.data(), hop_, kHopSamples);
    gain = conditioner_.process(hop_);
    noisy = hop_;
  }
  stft_.analyse(noisy, frame.spectrum);
  magnitudes(frame.spectrum, bins_);
  bands_.features(bins_, gain, {frame.features, feature_bytes_});
}

void StreamEnhancer::start_inference(const Frame& frame, HopCost& cost) {
  const Stopwatch stopwatch(cost.inference_ticks);
  if (skips_ > 0) {
    --skips_;
    return;
  }
  std::memcpy(engine_->input(0).data(), frame.features, feature_bytes_);
  engine_->start();
  is_running_ = true;
}

Status StreamEnhancer::finish_inference(const Frame& frame, HopCost& cost) {
  const Stopwatch stopwatch(cost.inference_ticks);
  if (!is_running_) {
    return kOk;
  }
  Status status = engine_->wait(cost.npu);
  for (int attempt = 1; attempt < attempts_ && !status.ok(); ++attempt) {
    cost.retries = static_cast<std::uint32_t>(attempt);
    std::memcpy(engine_->input(0).data(), frame.features, feature_bytes_);
    status = engine_->infer(cost.npu);
  }
  is_running_ = false;
  if (status.ok()) {
    std::memcpy(mask_, engine_->output(0).data(), mask_bytes_);
    skips_ = gate_ == nullptr ? 0 : skipped_hops(*gate_, engine_->gate());
  }
  return status;
}

void StreamEnhancer::synthesise(Frame& frame, Span<float> enhanced, HopCost& cost) {
  const Stopwatch stopwatch(cost.synthesis_ticks);
  bands_.gains(mask(), bins_);
  apply_gains(bins_, frame.spectrum);
  stft_.synthesise(frame.spectrum, enhanced);
}

}  // namespace enhancer
