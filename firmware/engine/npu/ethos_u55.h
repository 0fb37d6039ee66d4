#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "engine/engine.h"

/// Register-level driver of the Ethos-U55 (Arm Ethos-U55 NPU Technical Reference Manual, 102420).
namespace enhancer::ethos_u55 {

/// A command stream and the memory its regions refer to, in the order Vela uses: region 0 holds
/// read-only data, region 1 the tensor arena, region 2 fast scratch memory (here the arena too).
struct Job {
  Span<const std::uint8_t> stream;
  Span<const std::uint8_t> weights;
  Span<std::uint8_t> arena;
  bool weights_in_sram = false;
};

/// Check that an NPU is there and that it is the one the model was compiled for: `architecture`
/// and `config` are the ID and CONFIG registers the compiler assumed.
Status probe(std::uint32_t architecture, std::uint32_t config);

/// Reset the NPU to the secure, privileged state and program its bus limits.
Status reset();

/// Start a job; `job` and its memory must stay until wait() returns.
void start(const Job& job);

/// Sleep until the job ends, at most `timeout_ticks`, and read the performance counters. After a
/// fault or a timeout the NPU has been reset and can run the next job.
Status wait(const Job& job, std::uint64_t timeout_ticks, NpuCounters& counters);

}  // namespace enhancer::ethos_u55
