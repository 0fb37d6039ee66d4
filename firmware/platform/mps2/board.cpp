#include "platform/cortex_m/board.h"

#include "platform/cortex_m/cmsdk_uart.h"
#include "platform/cortex_m/system.h"
#include "platform/platform.h"
#include "platform/services.h"

extern "C" {
extern std::uint32_t linker_stack_guard;
}

namespace enhancer {
namespace {

constexpr std::uint32_t kUart0 = 0x40004000;
constexpr std::uint32_t kSystemClockHz = 25000000;

/// A region of the memory protection unit of Armv7-M: 2^`bits` bytes, aligned to its size. Later
/// regions hide earlier ones.
struct Region {
  std::uint32_t first;
  std::uint32_t bits;
  std::uint32_t access;
};
constexpr std::uint32_t kNoAccess = 0U << 24;
constexpr std::uint32_t kReadWrite = 3U << 24;
constexpr std::uint32_t kReadOnly = 6U << 24;
constexpr std::uint32_t kNeverExecute = 1U << 28;
constexpr std::uint32_t kDevice = 1U << 16;
constexpr std::uint32_t kNotCacheable = 1U << 19;

void protect(Span<const Region> regions) {
  constexpr std::uint32_t kRegionEnable = 1;
  std::uint32_t index = 0;
  for (const Region& region : regions) {
    cortex_m::reg(cortex_m::kMpuRegion) = index++;
    cortex_m::reg(cortex_m::kMpuBase) = region.first;
    cortex_m::reg(cortex_m::kMpuLimit) = region.access | (region.bits - 1) << 1 | kRegionEnable;
  }
  cortex_m::enable_mpu();
}

}  // namespace

void cortex_m::protect_memory() {
  // Armv7-M has no stack limit register: the lowest bytes of the stack are out of bounds instead.
  const auto guard = reinterpret_cast<std::uintptr_t>(&linker_stack_guard);
  const Region regions[] = {
      {0x00000000, 22, kReadOnly | kNeverExecute | kNotCacheable},  // Memory of model packages
      {0x00000000, 19, kReadOnly | kNotCacheable},                  // with the code in front.
      {0x20000000, 22, kReadWrite | kNeverExecute | kNotCacheable},
      {0x40000000, 29, kReadWrite | kNeverExecute | kDevice},
      {guard, 8, kNoAccess | kNeverExecute | kNotCacheable},
  };
  protect(regions);
}

void cortex_m::start_board() { cmsdk_uart::start(kUart0, kSystemClockHz); }

void cortex_m::handle_interrupt() {}

namespace platform {

const char* board() { return "mps2"; }

void console_write(Span<const char> text) { cortex_m::cmsdk_uart::write(kUart0, text); }

std::uint32_t ticks_per_second() { return kSystemClockHz; }

void npu_set_memory_timing(int /*axi_port*/, Span<const std::uint32_t> /*registers*/) {}

}  // namespace platform
}  // namespace enhancer
