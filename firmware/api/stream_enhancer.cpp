#include "api/stream_enhancer.h"

#include <algorithm>
#include <cstring>

#include "platform/platform.h"

namespace enhancer {

void StreamEnhancer::start(Engine& engine, const ModelPackage& package) {
  engine_ = &engine;
  feature_bytes_ = package.features().bytes;
  mask_bytes_ = package.mask().bytes;
  bands_.load(package);
  conditioned_ = package.front_end.header.conditioned != 0;
  conditioner_.reset();
  stft_.reset();
  engine.reset_state();
}

Status StreamEnhancer::process(Span<const float> noisy, Span<float> enhanced, HopCost& cost) {
  const std::uint64_t start = platform::ticks();
  std::copy(noisy.begin(), noisy.end(), hop_);
  const float gain = conditioned_ ? conditioner_.process(hop_) : 1.0F;
  stft_.analyse(hop_, spectrum_);
  magnitudes(spectrum_, bins_);
  bands_.features(bins_, gain, {features_, feature_bytes_});

  const std::uint64_t features_done = platform::ticks();
  std::memcpy(engine_->input(0).data(), features_, feature_bytes_);
  if (const Status status = engine_->infer(cost.npu); !status.ok()) {
    return status;
  }
  std::memcpy(mask_, engine_->output(0).data(), mask_bytes_);

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
