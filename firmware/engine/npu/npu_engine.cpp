#include "engine/npu/npu_engine.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "model/packed_weights.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

bool copies_weights(const ModelPackage& package) {
  return package.npu_job.weights_placement == WeightsPlacement::kSramAtBoot;
}

bool are_packed(const ModelPackage& package) { return package.packed_weights.bytes != 0; }

std::size_t weights_bytes(const ModelPackage& package) {
  return are_packed(package) ? package.packed_weights.bytes : package.npu_weights.size();
}

}  // namespace

NpuEngine::Memory NpuEngine::lay_out(const ModelPackage& package, Arena& arena) {
  Memory memory;
  memory.weights = arena.take(copies_weights(package) ? weights_bytes(package) : 0);
  // The unpacker works where the tensors are going to be.
  const std::size_t unpacker = are_packed(package) ? sizeof(WeightsUnpacker) : 0;
  memory.tensors = arena.take(std::max<std::size_t>(package.npu_job.arena_bytes, unpacker))
                       .first(package.npu_job.arena_bytes);
  memory.states.load(package, arena);
  memory.history.load(package, arena);
  return memory;
}

std::uint64_t NpuEngine::arena_bytes(const ModelPackage& package) const {
  Arena arena({});
  (void)lay_out(package, arena);
  return arena.used_bytes();
}

Status NpuEngine::load(const ModelPackage& package, Span<std::uint8_t> arena) {
  const NpuJobHeader& header = package.npu_job;
  if (const Status status = ethos_u55::probe(header.architecture, header.config); !status.ok()) {
    return status;
  }
  if (const Status status = ethos_u55::reset(); !status.ok()) {
    return status;
  }
  Arena parts(arena);
  memory_ = lay_out(package, parts);
  if (const Status status = parts.status(); !status.ok()) {
    return status;
  }
  package_ = &package;
  arena_capacity_bytes_ = arena.size();
  job_.stream = package.npu_stream;
  job_.weights = package.npu_weights;
  job_.arena = memory_.tensors;
  job_.weights_in_sram = copies_weights(package);
  if (job_.weights_in_sram) {
    if (const Status status = fetch_weights(package); !status.ok()) {
      return status;
    }
    job_.weights = memory_.weights;
    platform::cache_clean(memory_.weights.data(), memory_.weights.size());
  }
  return kOk;
}

Status NpuEngine::fetch_weights(const ModelPackage& package) {
  if (are_packed(package)) {
    auto* unpacker = new (memory_.tensors.data()) WeightsUnpacker;
    return unpacker->unpack(package.packed_weights, memory_.weights);
  }
  std::memcpy(memory_.weights.data(), package.npu_weights.data(), memory_.weights.size());
  return kOk;
}

void NpuEngine::reset_state() {
  memory_.states.reset();
  memory_.history.reset();
  for (const TensorRecord& variable : package_->variables) {
    set_to_zero(variable, locate(variable).data());
  }
}

Span<std::uint8_t> NpuEngine::input(std::size_t index) { return locate(package_->inputs[index]); }

Span<const std::uint8_t> NpuEngine::output(std::size_t index) {
  return locate(package_->outputs[index]);
}

void NpuEngine::start() {
  const auto place = [this](const TensorRecord& tensor) { return locate(tensor).data(); };
  memory_.states.restore(place);
  memory_.history.restore(place);
  ethos_u55::start(job_);
}

Status NpuEngine::wait(std::uint64_t timeout_ticks, NpuCounters& counters) {
  if (const Status status = ethos_u55::wait(job_, timeout_ticks, counters); !status.ok()) {
    return status;
  }
  const auto place = [this](const TensorRecord& tensor) { return locate(tensor).data(); };
  memory_.states.save(place);
  memory_.history.save(place);
  return kOk;
}

MemoryUse NpuEngine::memory_use() const {
  MemoryUse use;
  use.arena_bytes = static_cast<std::uint32_t>(job_.arena.size() + memory_.states.bytes() +
                                               memory_.history.bytes());
  use.arena_capacity_bytes = static_cast<std::uint32_t>(arena_capacity_bytes_);
  use.weights_bytes = static_cast<std::uint32_t>(job_.weights.size());
  use.weights_in_sram = job_.weights_in_sram;
  return use;
}

}  // namespace enhancer
