#include "platform/corstone300/board.h"

#include <cstring>

#include "platform/corstone300/registers.h"
#include "platform/ethos_u55_registers.h"
#include "platform/platform.h"
#include "platform/services.h"

extern "C" {
extern std::uint32_t linker_stack_limit;
extern std::uint32_t linker_stack_top;
extern const std::uint8_t linker_model_start;
extern const std::uint8_t linker_model_end;
}

namespace enhancer {
namespace {

using namespace corstone300;

constexpr std::uint32_t kStackPattern = 0xC5C5C5C5;
constexpr std::uint32_t kSysTickPeriod = 1U << 24;
constexpr std::size_t kNpuSramBytes = std::size_t{2} << 20;

[[gnu::section(".npu_sram")]] alignas(32) std::uint8_t npu_memory[kNpuSramBytes];

volatile std::uint32_t systick_wraps = 0;
volatile bool npu_interrupt = false;

void clear_npu_interrupt() {
  platform::npu_write(ethos_u55::kCommand,
                      ethos_u55::kCommandGating | ethos_u55::kCommandClearInterrupt);
  // The NPU must have lowered its line before this handler ends, or it would be entered again.
  asm volatile("dsb" ::: "memory");
  npu_interrupt = true;
}

void (*npu_interrupt_handler)() = clear_npu_interrupt;

void enable_irq(std::uint32_t irq) { reg(kNvicEnableSet + 4 * (irq / 32)) = 1U << (irq % 32); }

std::uint32_t* stack_pointer() {
  std::uint32_t* pointer = nullptr;
  asm volatile("mrs %0, msp" : "=r"(pointer));
  return pointer;
}

}  // namespace

void corstone300::paint_stack() {
  for (volatile std::uint32_t* word = &linker_stack_limit; word < stack_pointer(); ++word) {
    *word = kStackPattern;
  }
}

void corstone300::protect_memory() {
  constexpr std::uint32_t kReadOnly = 3U << 1;
  constexpr std::uint32_t kReadWrite = 1U << 1;
  constexpr std::uint32_t kNeverExecute = 1;
  constexpr std::uint32_t kMemory = 0;  // Index of the attributes below.
  constexpr std::uint32_t kDevice = 1;
  constexpr struct {
    std::uint32_t first, last, access, attributes;
  } kRegions[] = {
      {0x10000000, 0x1007FFFF, kReadOnly, kMemory},
      {0x30000000, 0x3007FFFF, kReadWrite | kNeverExecute, kMemory},
      {0x31000000, 0x313FFFFF, kReadWrite | kNeverExecute, kMemory},
      {0x40000000, 0x5FFFFFFF, kReadWrite | kNeverExecute, kDevice},
      {0x90000000, 0x91FFFFFF, kReadOnly | kNeverExecute, kMemory},
  };
  constexpr std::uint32_t kNotCacheable = 0x44;
  constexpr std::uint32_t kStronglyOrdered = 0x00;
  constexpr std::uint32_t kRegionEnable = 1;
  constexpr std::uint32_t kMpuEnable = 1;
  reg(kMpuAttributes0) = kNotCacheable | kStronglyOrdered << 8;
  std::uint32_t index = 0;
  for (const auto& region : kRegions) {
    reg(kMpuRegion) = index++;
    reg(kMpuBase) = region.first | region.access;
    reg(kMpuLimit) = (region.last & ~0x1FU) | region.attributes << 1 | kRegionEnable;
  }
  reg(kMpuControl) = kMpuEnable;
  asm volatile("dsb \n isb" ::: "memory");
}

void corstone300::start_board() {
  constexpr std::uint32_t kUartTransmitEnable = 1;
  constexpr std::uint32_t kUartBaud = 115200;
  reg(kUart0BaudDivider) = kPeripheralClockHz / kUartBaud;
  reg(kUart0Control) = kUartTransmitEnable;

  constexpr std::uint32_t kEnableMemoryBusUsageFaults = 7U << 16;
  reg(kSystemHandlerControl) = reg(kSystemHandlerControl) | kEnableMemoryBusUsageFaults;

  constexpr std::uint32_t kSysTickRunWithInterrupt = 7;
  reg(kSysTickReload) = kSysTickPeriod - 1;
  reg(kSysTickValue) = 0;
  reg(kSysTickControl) = kSysTickRunWithInterrupt;

  enable_irq(kNpuIrq);
  asm volatile("cpsie i" ::: "memory");
}

namespace platform {

const char* board() { return "corstone300"; }

void console_write(Span<const char> text) {
  constexpr std::uint32_t kTransmitFull = 1;
  for (const char character : text) {
    while ((reg(kUart0State) & kTransmitFull) != 0) {
    }
    reg(kUart0Data) = static_cast<std::uint8_t>(character);
  }
}

std::uint64_t ticks() {
  std::uint32_t wraps = 0;
  std::uint32_t remaining = 0;
  do {
    wraps = systick_wraps;
    remaining = reg(kSysTickValue);
  } while (wraps != systick_wraps);
  return std::uint64_t{wraps} * kSysTickPeriod + (kSysTickPeriod - 1 - remaining);
}

std::uint32_t ticks_per_second() { return kSystemClockHz; }

std::size_t stack_used_bytes() {
  const std::uint32_t* word = &linker_stack_limit;
  while (word < &linker_stack_top && *word == kStackPattern) {
    ++word;
  }
  return static_cast<std::size_t>(&linker_stack_top - word) * sizeof *word;
}

std::size_t stack_capacity_bytes() {
  return static_cast<std::size_t>(&linker_stack_top - &linker_stack_limit) *
         sizeof linker_stack_limit;
}

Span<const std::uint8_t> model_memory() {
  return {&linker_model_start, static_cast<std::size_t>(&linker_model_end - &linker_model_start)};
}

Span<std::uint8_t> npu_sram() { return npu_memory; }

std::uint32_t npu_read(std::uint32_t offset) { return reg(kNpuBase + offset); }

void npu_write(std::uint32_t offset, std::uint32_t value) {
  // What the CPU wrote to memory must be there before the NPU is told to look at it.
  asm volatile("dsb" ::: "memory");
  reg(kNpuBase + offset) = value;
}

void npu_set_interrupt_handler(void (*handler)()) { npu_interrupt_handler = handler; }

void* npu_register_base() { return reinterpret_cast<void*>(kNpuBase); }

void cache_clean(const void* /*data*/, std::size_t /*bytes*/) {}  // Caches stay off.

void cache_invalidate(void* /*data*/, std::size_t /*bytes*/) {}

void npu_set_memory_timing(int axi_port, Span<const std::uint32_t> registers) {
  const std::uint32_t base = axi_port == 0 ? kTimingAdapter0 : kTimingAdapter1;
  for (std::uint32_t index = 0; index < registers.size(); ++index) {
    reg(base + 4 * index) = registers[index];
  }
}

bool npu_wait_for_interrupt(std::uint64_t timeout_ticks) {
  const std::uint64_t deadline = ticks() + timeout_ticks;
  while (!npu_interrupt && ticks() < deadline) {
    // Interrupts are masked between test and sleep so that none is missed; a pending one ends the
    // sleep. The system tick wakes the CPU often enough to notice the deadline.
    asm volatile("cpsid i" ::: "memory");
    if (!npu_interrupt) {
      // All writes, the one that started the job among them, are done before the CPU sleeps.
      asm volatile("dsb \n wfi" ::: "memory");
    }
    asm volatile("cpsie i \n isb" ::: "memory");
  }
  const bool raised = npu_interrupt;
  npu_interrupt = false;
  return raised;
}

}  // namespace platform
}  // namespace enhancer

extern "C" {

void SysTick_Handler() { enhancer::systick_wraps = enhancer::systick_wraps + 1; }

void Npu_Handler() { enhancer::npu_interrupt_handler(); }
}
