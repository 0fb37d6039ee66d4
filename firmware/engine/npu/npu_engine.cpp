#include "engine/npu/npu_engine.h"

#include <cstring>

#include "platform/platform.h"

namespace enhancer {
namespace {

constexpr std::size_t kNpuAlignment = 16;
constexpr std::size_t kStateBytes = 8192;

/// The arena may reuse a state's place during a job, so states wait here between hops. Not a
/// member: an object with virtual functions is initialized data, and these zeros would be kept in
/// flash.
std::uint8_t state_memory[kStateBytes];

constexpr std::size_t align_up(std::size_t bytes) {
  return (bytes + kNpuAlignment - 1) / kNpuAlignment * kNpuAlignment;
}

}  // namespace

Status NpuEngine::load(const ModelPackage& package) {
  const NpuJobHeader& header = package.npu_job;
  if (const Status status = ethos_u55::probe(header.architecture, header.config); !status.ok()) {
    return status;
  }
  if (const Status status = ethos_u55::reset(); !status.ok()) {
    return status;
  }
  std::size_t state_bytes = 0;
  for (std::size_t state = 0; state < package.states; ++state) {
    state_bytes += package.state_in[state].bytes;
  }
  if (state_bytes > kStateBytes) {
    return {Error::kArenaTooSmall, static_cast<std::uint32_t>(state_bytes), kStateBytes};
  }

  const Span<std::uint8_t> sram = platform::npu_sram();
  const bool copy_weights = header.weights_placement == WeightsPlacement::kSramAtBoot;
  const std::uint64_t copied_bytes = copy_weights ? align_up(package.npu_weights.size()) : 0;
  if (header.arena_bytes + copied_bytes > sram.size()) {
    return {Error::kArenaTooSmall, static_cast<std::uint32_t>(header.arena_bytes + copied_bytes),
            static_cast<std::uint32_t>(sram.size())};
  }
  package_ = &package;
  job_.stream = package.npu_stream;
  job_.weights = package.npu_weights;
  job_.arena = sram.subspan(static_cast<std::size_t>(copied_bytes), header.arena_bytes);
  job_.weights_in_sram = copy_weights;
  if (copy_weights) {
    std::memcpy(sram.data(), package.npu_weights.data(), package.npu_weights.size());
    job_.weights = {sram.data(), package.npu_weights.size()};
  }
  return kOk;
}

void NpuEngine::reset_state() {
  std::uint8_t* state = state_memory;
  for (std::size_t index = 0; index < package_->states; ++index) {
    const TensorRecord& tensor = package_->state_in[index];
    // An int16 tensor has zero point 0, so one byte value serves both types.
    std::memset(state, tensor.zero_point, tensor.bytes);
    state += tensor.bytes;
  }
}

Status NpuEngine::infer(Span<const std::uint8_t> features, Span<std::uint8_t> mask,
                        NpuCounters& counters) {
  std::memcpy(arena_at(package_->features), features.data(), features.size());
  std::uint8_t* state = state_memory;
  for (std::size_t index = 0; index < package_->states; ++index) {
    const TensorRecord& tensor = package_->state_in[index];
    std::memcpy(arena_at(tensor), state, tensor.bytes);
    state += tensor.bytes;
  }
  if (const Status status = ethos_u55::run(job_, counters); !status.ok()) {
    return status;
  }
  state = state_memory;
  for (std::size_t index = 0; index < package_->states; ++index) {
    const TensorRecord& tensor = package_->state_out[index];
    std::memcpy(state, arena_at(tensor), tensor.bytes);
    state += tensor.bytes;
  }
  std::memcpy(mask.data(), arena_at(package_->mask), mask.size());
  return kOk;
}

MemoryUse NpuEngine::memory_use() const {
  MemoryUse use;
  use.arena_bytes = static_cast<std::uint32_t>(job_.arena.size());
  use.arena_capacity_bytes = static_cast<std::uint32_t>(platform::npu_sram().size());
  use.weights_bytes = static_cast<std::uint32_t>(job_.weights.size());
  use.weights_in_sram = job_.weights_in_sram;
  return use;
}

}  // namespace enhancer
