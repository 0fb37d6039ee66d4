#include "api/enhancer.h"

#include <cstring>
#include <new>

#include "api/stream_enhancer.h"
#include "base/saturate.h"
#include "engine/npu/npu_engine.h"
#include "model/package.h"

namespace enhancer {
namespace {

static_assert(ENHANCER_RATE_HZ == kRateHz && ENHANCER_HOP_SAMPLES == kHopSamples);
static_assert(ENHANCER_ALIGNMENT == Arena::kAlignment);

constexpr float kFullScale = 32768.0F;

/// What lies in struct enhancer_instance.
struct State {
  ModelPackage package;
  NpuEngine engine;
  StreamEnhancer stream;
};
static_assert(sizeof(State) <= sizeof(::enhancer_instance));
static_assert(alignof(::enhancer_instance) % alignof(State) == 0);

State& state_of(::enhancer_instance* memory) {
  return *std::launder(reinterpret_cast<State*>(memory));
}

Status open_package(const void* memory, std::size_t bytes, ModelPackage& package) {
  const Status status = parse_package({static_cast<const std::uint8_t*>(memory), bytes}, package);
  if (!status.ok()) {
    return status;
  }
  if (!package.has_front_end) {
    return {Error::kPackageNoFrontEnd};
  }
  return package.npu_stream.empty() ? Status{Error::kPackageNoEngine} : kOk;
}

int code(const Status& status) { return static_cast<int>(status.error); }

}  // namespace
}  // namespace enhancer

extern "C" {

const char* enhancer_status_name(enhancer_status status) {
  return enhancer::error_name(static_cast<enhancer::Error>(status));
}

enhancer_status enhancer_arena_bytes(const void* package, size_t package_bytes,
                                     size_t* arena_bytes) {
  using namespace enhancer;
  ModelPackage opened;
  const Status status = open_package(package, package_bytes, opened);
  *arena_bytes = status.ok() ? static_cast<size_t>(NpuEngine::arena_bytes(opened)) : 0;
  return code(status);
}

enhancer_status enhancer_init(struct enhancer_instance* memory, const void* package,
                              size_t package_bytes, void* arena, size_t arena_bytes) {
  using namespace enhancer;
  State& state = *new (memory) State;
  if (const Status status = open_package(package, package_bytes, state.package); !status.ok()) {
    return code(status);
  }
  const Span<std::uint8_t> tensors(static_cast<std::uint8_t*>(arena), arena_bytes);
  if (const Status status = state.engine.load(state.package, tensors); !status.ok()) {
    return code(status);
  }
  state.stream.start(state.engine, state.package);
  return code(kOk);
}

enhancer_status enhancer_process(struct enhancer_instance* memory,
                                 const int16_t in[ENHANCER_HOP_SAMPLES],
                                 int16_t out[ENHANCER_HOP_SAMPLES]) {
  using namespace enhancer;
  float hop[kHopSamples];
  for (std::size_t n = 0; n < kHopSamples; ++n) {
    hop[n] = static_cast<float>(in[n]) / kFullScale;
  }
  HopCost cost;
  const Status status = state_of(memory).stream.process(hop, hop, cost);
  if (!status.ok()) {
    std::memmove(out, in, sizeof(int16_t) * kHopSamples);
    return code(status);
  }
  for (std::size_t n = 0; n < kHopSamples; ++n) {
    out[n] = saturate<std::int16_t>(hop[n] * kFullScale);
  }
  return code(kOk);
}

void enhancer_reset(struct enhancer_instance* memory) {
  using namespace enhancer;
  State& state = state_of(memory);
  state.stream.start(state.engine, state.package);
}
}
