#include "platform/cortex_m/board.h"

#include "platform/corstone300/registers.h"
#include "platform/cortex_m/cmsdk_uart.h"
#include "platform/cortex_m/mpu_v8.h"
#include "platform/cortex_m/npu.h"
#include "platform/cortex_m/system.h"
#include "platform/platform.h"
#include "platform/services.h"

namespace enhancer {

using namespace corstone300;

std::uint32_t cortex_m::npu_base() { return kNpuRegisters; }

void cortex_m::protect_memory() {
  constexpr Region kRegions[] = {
      {0x10000000, 0x1007FFFF, Region::kReadOnly, Region::kMemory},
      {0x30000000, 0x3007FFFF, Region::kReadWrite | Region::kNeverExecute, Region::kMemory},
      {0x31000000, 0x313FFFFF, Region::kReadWrite | Region::kNeverExecute, Region::kMemory},
      {0x40000000, 0x5FFFFFFF, Region::kReadWrite | Region::kNeverExecute, Region::kDevice},
      {0x90000000, 0x91FFFFFF, Region::kReadOnly | Region::kNeverExecute, Region::kMemory},
  };
  protect(kRegions);
}

void cortex_m::start_board() {
  cmsdk_uart::start(kUart0, kPeripheralClockHz);
  enable_irq(kNpuIrq);
}

void cortex_m::handle_interrupt() { handle_npu_interrupt(); }

namespace platform {

const char* board() { return "corstone300"; }

void console_write(Span<const char> text) { cortex_m::cmsdk_uart::write(kUart0, text); }

std::uint32_t ticks_per_second() { return kSystemClockHz; }

void cache_clean(const void* /*data*/, std::size_t /*bytes*/) {}  // Caches stay off.

void cache_invalidate(void* /*data*/, std::size_t /*bytes*/) {}

void npu_set_memory_timing(int axi_port, Span<const std::uint32_t> registers) {
  const std::uint32_t base = axi_port == 0 ? kTimingAdapter0 : kTimingAdapter1;
  for (std::uint32_t index = 0; index < registers.size(); ++index) {
    cortex_m::reg(base + 4 * index) = registers[index];
  }
}

}  // namespace platform
}  // namespace enhancer
