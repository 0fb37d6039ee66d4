#include "api/stream_enhancer.h"

#include <cstring>

#include "dsp/support_functions.h"
#include "platform/platform.h"

namespace enhancer {

void StreamEnhancer::start(Engine& engine, const ModelPackage& package) {
  engine_ = &engine;
  feature_bytes_ = package.features().bytes;
  mask_bytes_ = package.mask().bytes;
  bands_.load(package);
  conditioned_ = package.front_end.header.conditioned != 0;
  conditioner_.reset();
  // A failed job leaves states as they were, but not variables in the arena.
  attempts_ = package.variables.size() == 0 ? 2 : 1;
  stft_.reset();
  engine.reset_state();
}

Status StreamEnhancer::infer(HopCost& cost) {
  Status status;
  for (int attempt = 0; attempt < attempts_; ++attempt) {
    cost.retries = static_cast<std::uint32_t>(attempt);
    std::memcpy(engine_->input(0).data(), features_, feature_bytes_);
    status = engine_->infer(cost.npu);
    if (status.ok()) {
      std::memcpy(mask_, engine_->output(0).data(), mask_bytes_);
      break;
    }
  }
  return status;
}

Status StreamEnhancer::process(Span<const float> noisy, Span<float> enhanced, HopCost& cost) {
  const std::uint64_t start = platform::ticks();
  float gain = 1.0F;
  if (conditioned_) {
    arm_copy_f32(noisy.data(), hop_, kHopSamples);
    gain = conditioner_.process(hop_);
    noisy = hop_;
  }
  stft_.analyse(noisy, spectrum_);
  magnitudes(spectrum_, bins_);
  bands_.features(bins_, gain, {features_, feature_bytes_});

  const std::uint64_t features_done = platform::ticks();
  if (const Status status = infer(cost); !status.ok()) {
    return status;
  }

  const std::uint64_t inference_done = platform::ticks();
  bands_.gains(mask(), bins_);
  apply_gains(bins_, spectrum_);
  stft_.synthesise(spectrum_, enhanced);

  cost.features_ticks = features_done - start;
  cost.inference_ticks = inference_done - features_done;
  cost.synthesis_ticks = platform::ticks() - inference_done;
  return kOk;
}

}  // namespace enhancer
