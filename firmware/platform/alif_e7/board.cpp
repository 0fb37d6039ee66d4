#include "platform/cortex_m/board.h"

#include "platform/cortex_m/mpu_v8.h"
#include "platform/cortex_m/npu.h"
#include "platform/cortex_m/semihosting.h"
#include "platform/cortex_m/system.h"
#include "platform/platform.h"
#include "platform/services.h"

/// Alif Ensemble E7, high-performance Cortex-M55 with its Ethos-U55 of 256 MACs, as the vendor's
/// public device pack has it (../README.md); not run. The vendor's secure enclave starts the core;
/// its device configuration has to turn on the clocks of NPU and SRAM0. Console and files go
/// through the debugger.
namespace enhancer {
namespace {

constexpr std::uint32_t kNpuRegisters = 0x400E1000;
constexpr std::uint32_t kNpuIrq = 55;
constexpr std::uint32_t kCpuClockHz = 400000000;

}  // namespace

std::uint32_t cortex_m::npu_base() { return kNpuRegisters; }

void cortex_m::protect_memory() {
  constexpr Region kRegions[] = {
      {0x00000000, 0x0003FFFF, Region::kReadOnly, Region::kMemory},
      {0x02000000, 0x023FFFFF, Region::kReadWrite | Region::kNeverExecute, Region::kMemory},
      {0x20000000, 0x200FFFFF, Region::kReadWrite | Region::kNeverExecute, Region::kMemory},
      {0x40000000, 0x4FFFFFFF, Region::kReadWrite | Region::kNeverExecute, Region::kDevice},
      {0x80000000, 0x800FFFFF, Region::kReadOnly, Region::kMemory},
      {0x80100000, 0x803FFFFF, Region::kReadOnly | Region::kNeverExecute, Region::kMemory},
  };
  protect(kRegions);
}

void cortex_m::start_board() { enable_irq(kNpuIrq); }

void cortex_m::handle_interrupt() { handle_npu_interrupt(); }

namespace platform {

const char* board() { return "alif_e7"; }

void console_write(Span<const char> text) { cortex_m::semihosting::write(text); }

std::uint32_t ticks_per_second() { return kCpuClockHz; }

// What the CPU shares with the NPU is not cached: cortex_m::protect().
void cache_clean(const void* /*data*/, std::size_t /*bytes*/) {}

void cache_invalidate(void* /*data*/, std::size_t /*bytes*/) {}

void npu_set_memory_timing(int /*axi_port*/, Span<const std::uint32_t> /*registers*/) {}

}  // namespace platform
}  // namespace enhancer
