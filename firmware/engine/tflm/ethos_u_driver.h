#pragma once

#include "base/status.h"
#include "engine/engine.h"

/// Arm's Ethos-U driver, which TensorFlow Lite Micro's ethos-u operator calls.
namespace enhancer::ethos_u_driver {

/// Initialize it.
Status start();

/// What all jobs since the last call took.
NpuCounters take_counters();

}  // namespace enhancer::ethos_u_driver
