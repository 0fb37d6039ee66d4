#pragma once

#include <optional>

#include "engine/engine.h"
#include "engine/history_store.h"
#include "engine/state_store.h"
#include "model_operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"

namespace enhancer {

/// Runs a TFLite file with TensorFlow Lite Micro: operators that Vela mapped run on the NPU through
/// Arm's driver, all others on the CPU with CMSIS-NN.
class TflmEngine final : public Engine {
 public:
  const char* name() const override { return "tflm"; }
  bool accepts(const ModelPackage& package) const override { return !package.tflite.empty(); }
  std::uint64_t arena_bytes(const ModelPackage& /*package*/) const override { return 0; }
  Status load(const ModelPackage& package, Span<std::uint8_t> arena) override;
  void reset_state() override;
  Span<std::uint8_t> input(std::size_t index) override;
  void start() override {}
  Status wait(std::uint64_t timeout_ticks, NpuCounters& counters) override;
  Span<const std::uint8_t> output(std::size_t index) override;
  Span<const std::uint8_t> gate() override;
  MemoryUse memory_use() const override;

 private:
  Status check_operators(const tflite::Model& model) const;
  Status check_tensors();
  TfLiteTensor* tensor(const TensorRecord& record);

  const ModelPackage* package_ = nullptr;
  std::size_t arena_capacity_bytes_ = 0;
  std::size_t stored_bytes_ = 0;  ///< States and earlier frames.
  StateStore states_;
  HistoryStore history_;
  OperatorResolver resolver_;
  std::optional<tflite::MicroInterpreter> interpreter_;
};

}  // namespace enhancer
