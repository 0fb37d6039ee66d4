#include "app/stream_enhancer.h"

#include "platform/platform.h"

namespace enhancer {

void StreamEnhancer::start(Engine& engine, const ModelPackage& package) {
  engine_ = &engine;
  feature_bytes_ = package.features.bytes;
  mask_bytes_ = package.mask.bytes;
  bands_.load(package);
  stft_.reset();
  engine.reset_state();
}

Status StreamEnhancer::process(Span<const float> noisy, Span<float> enhanced, HopCost& cost) {
  const std::uint64_t start = platform::ticks();
  stft_.analyse(noisy, spectrum_);
  magnitudes(spectrum_, bins_);
  bands_.features(bins_, {features_, feature_bytes_});

  const std::uint64_t features_done = platform::ticks();
  if (const Status status = engine_->infer(features(), {mask_, mask_bytes_}, cost.npu);
      !status.ok()) {
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
