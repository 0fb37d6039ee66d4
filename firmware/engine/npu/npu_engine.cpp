#include "engine/npu/npu_engine.h"

#include <cstring>

namespace enhancer {
namespace {

bool copies_weights(const ModelPackage& package) {
  return package.npu_job.weights_placement == WeightsPlacement::kSramAtBoot;
}

}  // namespace

std::uint64_t NpuEngine::arena_bytes(const ModelPackage& package) {
  Arena memory({});
  memory.take(copies_weights(package) ? package.npu_weights.size() : 0);
  memory.take(package.npu_job.arena_bytes);
  memory.take(package.state_in.bytes());
  return memory.used_bytes();
}

Status NpuEngine::load(const ModelPackage& package, Span<std::uint8_t> arena) {
  const NpuJobHeader& header = package.npu_job;
  if (const Status status = ethos_u55::probe(header.architecture, header.config); !status.ok()) {
    return status;
  }
  if (const Status status = ethos_u55::reset(); !status.ok()) {
    return status;
  }
  Arena memory(arena);
  const bool copy_weights = copies_weights(package);
  const Span<std::uint8_t> copied = memory.take(copy_weights ? package.npu_weights.size() : 0);
  const Span<std::uint8_t> tensors = memory.take(header.arena_bytes);
  states_.load(package, memory);
  if (const Status status = memory.status(); !status.ok()) {
    return status;
  }
  package_ = &package;
  arena_capacity_bytes_ = arena.size();
  job_.stream = package.npu_stream;
  job_.weights = package.npu_weights;
  job_.arena = tensors;
  job_.weights_in_sram = copy_weights;
  if (copy_weights) {
    std::memcpy(copied.data(), package.npu_weights.data(), copied.size());
    job_.weights = copied;
  }
  return kOk;
}

void NpuEngine::reset_state() {
  states_.reset();
  for (const TensorRecord& variable : package_->variables) {
    set_to_zero(variable, locate(variable).data());
  }
}

Span<std::uint8_t> NpuEngine::input(std::size_t index) { return locate(package_->inputs[index]); }

Span<const std::uint8_t> NpuEngine::output(std::size_t index) {
  return locate(package_->outputs[index]);
}

Status NpuEngine::infer(NpuCounters& counters) {
  const auto place = [this](const TensorRecord& tensor) { return locate(tensor).data(); };
  states_.restore(place);
  ethos_u55::start(job_);
  if (const Status status = ethos_u55::wait(counters); !status.ok()) {
    return status;
  }
  states_.save(place);
  return kOk;
}

MemoryUse NpuEngine::memory_use() const {
  MemoryUse use;
  use.arena_bytes = static_cast<std::uint32_t>(job_.arena.size() + states_.bytes());
  use.arena_capacity_bytes = static_cast<std::uint32_t>(arena_capacity_bytes_);
  use.weights_bytes = static_cast<std::uint32_t>(job_.weights.size());
  use.weights_in_sram = job_.weights_in_sram;
  return use;
}

}  // namespace enhancer
