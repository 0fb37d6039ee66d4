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
    (void)engine_->wait(longest_job_ticks(), counters);
  }
  engine_ = &engine;
  schedule_ = schedule;
  gate_ = package.gate.size() == 0 ? nullptr : &package.gate[0];
  skips_ = 0;
  is_running_ = false;
  counts_ = HopCounts{};
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

void StreamEnhancer::set_deadline(std::uint32_t microseconds) {
  constexpr std::uint32_t kSecond = 1000000;
  allowed_ticks_ = std::uint64_t{microseconds} * platform::ticks_per_second() / kSecond;
}

Status StreamEnhancer::process(Span<const float> noisy, Span<float> enhanced, HopCost& cost) {
  deadline_ticks_ = platform::ticks() + allowed_ticks_;
  Frame& next = frames_[out_];
  Status status;
  analyse(noisy, next, cost);
  if (schedule_ == Schedule::kAtOnce) {
    start_inference(next, cost);
    status = finish_inference(next, cost);
  } else {
    out_ = 1 - out_;
    status = finish_inference(frames_[out_], cost);
    start_inference(next, cost);
  }
  count(status);
  synthesise(frames_[out_], status.ok(), enhanced, cost);
  return status;
}

void StreamEnhancer::count(const Status& status) {
  ++counts_.hops;
  // A network on the CPU cannot be given up: its hop may be done and late.
  if (status.error == Error::kNpuTimeout || (status.ok() && ticks_left() == 0)) {
    ++counts_.late;
  } else if (!status.ok()) {
    ++counts_.failed;
  }
}

std::uint64_t StreamEnhancer::ticks_left() const {
  const std::uint64_t now = platform::ticks();
  return now < deadline_ticks_ ? deadline_ticks_ - now : 0;
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
  Status status = engine_->wait(ticks_left(), cost.npu);
  for (int attempt = 1; attempt < attempts_ && !status.ok() && ticks_left() > 0; ++attempt) {
    ++counts_.retried;
    std::memcpy(engine_->input(0).data(), frame.features, feature_bytes_);
    engine_->start();
    status = engine_->wait(ticks_left(), cost.npu);
  }
  is_running_ = false;
  if (status.ok()) {
    std::memcpy(mask_, engine_->output(0).data(), mask_bytes_);
    skips_ = gate_ == nullptr ? 0 : skipped_hops(*gate_, engine_->gate());
  }
  return status;
}

void StreamEnhancer::synthesise(Frame& frame, bool masked, Span<float> enhanced, HopCost& cost) {
  const Stopwatch stopwatch(cost.synthesis_ticks);
  if (masked) {
    bands_.gains(mask(), bins_);
    apply_gains(bins_, frame.spectrum);
  }
  stft_.synthesise(frame.spectrum, enhanced);
}

}  // namespace enhancer
