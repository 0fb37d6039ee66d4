#pragma once

#include <cstdint>

#include "base/status.h"
#include "engine/engine.h"

/// Arm's Ethos-U driver, which TensorFlow Lite Micro's ethos-u operator calls.
namespace enhancer::ethos_u_driver {

/// Initialize it, the first time, and reset the NPU.
Status start();

/// Give up a job that takes longer than this, from when it is waited for.
void set_timeout(std::uint64_t ticks);

/// Whether a job has been given up since set_timeout().
bool timed_out();

/// What all jobs since the last call took.
NpuCounters take_counters();

}  // namespace enhancer::ethos_u_driver
