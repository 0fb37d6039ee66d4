#pragma once

namespace enhancer::cortex_m {

/// Start the system tick, which platform::ticks() counts.
void start_clock();

}  // namespace enhancer::cortex_m

extern "C" void SysTick_Handler();
