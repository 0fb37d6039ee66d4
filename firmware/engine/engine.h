#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "model/package.h"
#include "platform/platform.h"

namespace enhancer {

/// What the NPU's performance counters showed during one inference.
struct NpuCounters {
  std::uint64_t total_cycles = 0;
  std::uint64_t active_cycles = 0;
  std::uint64_t axi0_read_beats = 0;
  std::uint64_t axi0_write_beats = 0;
  std::uint64_t axi1_read_beats = 0;

  NpuCounters& operator+=(const NpuCounters& other) {
    total_cycles += other.total_cycles;
    active_cycles += other.active_cycles;
    axi0_read_beats += other.axi0_read_beats;
    axi0_write_beats += other.axi0_write_beats;
    axi1_read_beats += other.axi1_read_beats;
    return *this;
  }
};

/// Memory an engine took for the loaded model.
struct MemoryUse {
  std::uint32_t arena_bytes = 0;  ///< Without weights.
  std::uint32_t arena_capacity_bytes = 0;
  std::uint32_t weights_bytes = 0;
  bool weights_in_sram = false;
};

/// A job takes milliseconds; after a second the NPU will not answer any more.
inline std::uint64_t longest_job_ticks() { return platform::ticks_per_second(); }

/// Runs a model, for a recurrent one hop after hop; the engine keeps the recurrent state.
class Engine {
 public:
  virtual const char* name() const = 0;

  /// Whether the package holds a form of the model that this engine can run.
  virtual bool accepts(const ModelPackage& package) const = 0;

  /// How large an arena a package needs, or 0 if only loading it tells.
  virtual std::uint64_t arena_bytes(const ModelPackage& package) const = 0;

  /// Prepare to run in `arena`, aligned to 16 bytes, which the NPU reaches at full speed.
  /// `package`, the memory it points into and the arena must outlive the engine's use.
  virtual Status load(const ModelPackage& package, Span<std::uint8_t> arena) = 0;

  /// Set the recurrent state to zero.
  virtual void reset_state() = 0;

  /// Where input `index` of the package is to be written before each start().
  virtual Span<std::uint8_t> input(std::size_t index) = 0;

  /// Start a hop. Until wait() has returned, nothing else of the engine may be called. The NPU
  /// works meanwhile; an engine that needs the CPU does so in wait().
  virtual void start() = 0;

  /// Wait for the end of the hop that was started, for the NPU at most `timeout_ticks`: then it is
  /// stopped, and the error is npu_timeout.
  virtual Status wait(std::uint64_t timeout_ticks, NpuCounters& counters) = 0;

  /// A hop from beginning to end.
  Status infer(NpuCounters& counters) {
    start();
    return wait(longest_job_ticks(), counters);
  }

  /// Where output `index` is to be read after a hop, before any input is written.
  virtual Span<const std::uint8_t> output(std::size_t index) = 0;

  /// Where the gate's value is to be read after a hop, if the package has one.
  virtual Span<const std::uint8_t> gate() = 0;

  virtual MemoryUse memory_use() const = 0;

 protected:
  Engine() = default;
  Engine(const Engine&) = default;
  Engine& operator=(const Engine&) = default;
  ~Engine() = default;
};

}  // namespace enhancer
