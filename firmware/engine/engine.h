#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "model/package.h"

namespace enhancer {

/// What the NPU's performance counters showed during one inference.
struct NpuCounters {
  std::uint64_t total_cycles = 0;
  std::uint64_t active_cycles = 0;
  std::uint64_t axi0_read_beats = 0;
  std::uint64_t axi0_write_beats = 0;
  std::uint64_t axi1_read_beats = 0;

  std::uint64_t idle_cycles() const {
    return total_cycles > active_cycles ? total_cycles - active_cycles : 0;
  }
};

/// Memory an engine took for the loaded model.
struct MemoryUse {
  std::uint32_t arena_bytes = 0;
  std::uint32_t arena_capacity_bytes = 0;
  std::uint32_t weights_bytes = 0;
  bool weights_in_sram = false;
};

/// Runs one hop of a recurrent model; the engine keeps the recurrent state.
class Engine {
 public:
  virtual const char* name() const = 0;

  /// Whether the package holds a form of the model that this engine can run.
  virtual bool accepts(const ModelPackage& package) const = 0;

  /// Prepare to run. `package` and the memory it points into must outlive the engine's use.
  virtual Status load(const ModelPackage& package) = 0;

  /// Set the recurrent state to zero.
  virtual void reset_state() = 0;

  /// One hop: stored features in, stored mask out, sizes and types as in the package.
  virtual Status infer(Span<const std::uint8_t> features, Span<std::uint8_t> mask,
                       NpuCounters& counters) = 0;

  virtual MemoryUse memory_use() const = 0;

 protected:
  Engine() = default;
  Engine(const Engine&) = default;
  Engine& operator=(const Engine&) = default;
  ~Engine() = default;
};

/// The first engine of this firmware that accepts the package, or nullptr.
Engine* find_engine(const ModelPackage& package);

}  // namespace enhancer
