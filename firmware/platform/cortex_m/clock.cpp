#include "platform/cortex_m/clock.h"

#include "platform/cortex_m/system.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

using namespace cortex_m;

/// Its interrupt ends a sleep of the CPU, so this is how exactly a time-out is kept: 2 ms at 32
/// MHz.
constexpr std::uint32_t kSysTickPeriod = 1U << 16;

volatile std::uint32_t systick_wraps = 0;

}  // namespace

void cortex_m::start_clock() {
  constexpr std::uint32_t kRunOnCpuClockWithInterrupt = 7;
  reg(kSysTickReload) = kSysTickPeriod - 1;
  reg(kSysTickValue) = 0;
  reg(kSysTickControl) = kRunOnCpuClockWithInterrupt;
}

std::uint64_t platform::ticks() {
  std::uint32_t wraps = 0;
  std::uint32_t remaining = 0;
  do {
    wraps = systick_wraps;
    remaining = reg(kSysTickValue);
    if ((reg(kInterruptControl) & kSysTickPending) != 0) {
      // It has wrapped, but its interrupt is masked or about to come.
      remaining = reg(kSysTickValue);
      ++wraps;
      break;
    }
  } while (wraps != systick_wraps);
  return std::uint64_t{wraps} * kSysTickPeriod + (kSysTickPeriod - 1 - remaining);
}

}  // namespace enhancer

extern "C" void SysTick_Handler() { enhancer::systick_wraps = enhancer::systick_wraps + 1; }
