#include "api/enhancer.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

#include "api/stream_enhancer.h"
#include "dsp/lanes.h"
#include "engine/arena.h"
#include "engine/engines.h"
#include "model/package.h"

namespace enhancer {
namespace {

static_assert(ENHANCER_RATE_HZ == kRateHz && ENHANCER_HOP_SAMPLES == kHopSamples);
static_assert(ENHANCER_ALIGNMENT == Arena::kAlignment);

/// A package and the engine that runs it.
struct Model {
  ModelPackage package;
  Engines engines;
  Engine* engine = nullptr;

  Status open(const void* memory, std::size_t bytes) {
    const Status status = parse_package({static_cast<const std::uint8_t*>(memory), bytes}, package);
    if (!status.ok()) {
      return status;
    }
    if (!package.has_front_end) {
      return {Error::kPackageNoFrontEnd};
    }
    engine = engines.find(package);
    return engine == nullptr ? Status{Error::kPackageNoEngine} : kOk;
  }
};

/// What lies in struct enhancer_instance.
struct State {
  Status status;  ///< Of enhancer_init().
  Model model;
  Schedule schedule = Schedule::kAtOnce;
  StreamEnhancer stream;

  Status open(const void* package, std::size_t package_bytes, Span<std::uint8_t> arena) {
    const Status opened = model.open(package, package_bytes);
    return opened.ok() ? model.engine->load(model.package, arena) : opened;
  }
  void start() {
    if (status.ok()) {
      stream.start(*model.engine, model.package, schedule);
    }
  }
};
static_assert(sizeof(State) <= sizeof(::enhancer_instance));
static_assert(alignof(::enhancer_instance) % alignof(State) == 0);

State& state_of(::enhancer_instance* memory) {
  return *std::launder(reinterpret_cast<State*>(memory));
}

const State& state_of(const ::enhancer_instance* memory) {
  return *std::launder(reinterpret_cast<const State*>(memory));
}

int code(const Status& status) { return static_cast<int>(status.error); }

}  // namespace
}  // namespace enhancer

extern "C" {

const char* enhancer_status_name(enhancer_status status) {
  constexpr int kLargest = 0xFF;
  const bool is_error = status >= 0 && status <= kLargest;
  return is_error ? enhancer::error_name(static_cast<enhancer::Error>(status)) : "unknown";
}

enhancer_status enhancer_arena_bytes(const void* package, size_t package_bytes,
                                     size_t* arena_bytes) {
  using namespace enhancer;
  Model model;
  const Status status = model.open(package, package_bytes);
  const std::uint64_t needed = status.ok() ? model.engine->arena_bytes(model.package) : 0;
  *arena_bytes = static_cast<size_t>(std::min<std::uint64_t>(needed, SIZE_MAX));
  return code(status);
}

enhancer_status enhancer_init(struct enhancer_instance* memory, const void* package,
                              size_t package_bytes, void* arena, size_t arena_bytes) {
  using namespace enhancer;
  State& state = *new (memory) State;
  state.status =
      state.open(package, package_bytes, {static_cast<std::uint8_t*>(arena), arena_bytes});
  state.start();
  return code(state.status);
}

enhancer_status enhancer_process(struct enhancer_instance* memory,
                                 const int16_t in[ENHANCER_HOP_SAMPLES],
                                 int16_t out[ENHANCER_HOP_SAMPLES]) {
  using namespace enhancer;
  State& state = state_of(memory);
  if (!state.status.ok()) {
    std::memmove(out, in, sizeof(int16_t) * kHopSamples);
    return code(state.status);
  }
  float hop[kHopSamples];
  from_pcm(in, kHopSamples, hop);
  HopCost cost;
  const Status status = state.stream.process(hop, hop, cost);
  to_pcm(hop, kHopSamples, out);
  return code(status);
}

void enhancer_reset(struct enhancer_instance* memory) { enhancer::state_of(memory).start(); }

void enhancer_set_schedule(struct enhancer_instance* memory, enum enhancer_schedule schedule) {
  using namespace enhancer;
  State& state = state_of(memory);
  state.schedule = schedule == ENHANCER_PIPELINED ? Schedule::kPipelined : Schedule::kAtOnce;
  state.start();
}

void enhancer_set_deadline(struct enhancer_instance* memory, uint32_t microseconds) {
  enhancer::state_of(memory).stream.set_deadline(microseconds);
}

void enhancer_get_counts(const struct enhancer_instance* memory, struct enhancer_counts* counts) {
  const enhancer::HopCounts& actual = enhancer::state_of(memory).stream.counts();
  *counts = {actual.hops, actual.retried, actual.failed, actual.late};
}
}
