#pragma once

#include "engine/engine.h"
#include "engine/npu/ethos_u55.h"

namespace enhancer {

/// Runs a model that Vela mapped to the NPU as a whole: one command stream, no interpreter.
class NpuEngine final : public Engine {
 public:
  const char* name() const override { return "npu"; }
  bool accepts(const ModelPackage& package) const override { return !package.npu_stream.empty(); }
  Status load(const ModelPackage& package) override;
  void reset_state() override;
  Status infer(Span<const std::uint8_t> features, Span<std::uint8_t> mask,
               NpuCounters& counters) override;
  MemoryUse memory_use() const override;

 private:
  std::uint8_t* arena_at(const TensorRecord& tensor) {
    return job_.arena.data() + tensor.arena_offset;
  }

  const ModelPackage* package_ = nullptr;
  ethos_u55::Job job_{};
};

}  // namespace enhancer
