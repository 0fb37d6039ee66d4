#pragma once

#include "engine/engine.h"
#include "engine/history_store.h"
#include "engine/npu/ethos_u55.h"
#include "engine/state_store.h"

namespace enhancer {

/// Runs a model that Vela mapped to the NPU as a whole: one command stream, no interpreter.
class NpuEngine final : public Engine {
 public:
  const char* name() const override { return "npu"; }
  bool accepts(const ModelPackage& package) const override { return !package.npu_stream.empty(); }
  std::uint64_t arena_bytes(const ModelPackage& package) const override;
  Status load(const ModelPackage& package, Span<std::uint8_t> arena) override;
  void reset_state() override;
  Span<std::uint8_t> input(std::size_t index) override;
  void start() override;
  Status wait(std::uint64_t timeout_ticks, NpuCounters& counters) override;
  Span<const std::uint8_t> output(std::size_t index) override;
  Span<const std::uint8_t> gate() override { return locate(package_->gate[0]); }
  MemoryUse memory_use() const override;

 private:
  /// The parts of the arena.
  struct Memory {
    Span<std::uint8_t> weights;
    Span<std::uint8_t> tensors;
    StateStore states;
    HistoryStore history;
  };
  static Memory lay_out(const ModelPackage& package, Arena& arena);
  /// Copy or unpack the weights to their place in the arena.
  Status fetch_weights(const ModelPackage& package);

  Span<std::uint8_t> locate(const TensorRecord& tensor) {
    return job_.arena.subspan(tensor.arena_offset, tensor.bytes);
  }

  const ModelPackage* package_ = nullptr;
  std::size_t arena_capacity_bytes_ = 0;
  ethos_u55::Job job_{};
  Memory memory_{};
};

}  // namespace enhancer
