#pragma once

#include "engine/engine.h"

/// The Ethos-U55's performance monitoring unit.
namespace enhancer::ethos_u55::pmu {

/// Clear and start the cycle counter and the event counters.
void start();

/// Stop and read them.
NpuCounters stop();

}  // namespace enhancer::ethos_u55::pmu
