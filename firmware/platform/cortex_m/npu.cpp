#include "platform/cortex_m/npu.h"

#include "platform/cortex_m/system.h"
#include "platform/ethos_u55_registers.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

using cortex_m::npu_base;
using cortex_m::reg;

volatile bool npu_interrupt = false;

void clear_npu_interrupt() {
  platform::npu_write(ethos_u55::kCommand,
                      ethos_u55::kCommandGating | ethos_u55::kCommandClearInterrupt);
  // The NPU must have lowered its line before this handler ends, or it would be entered again.
  asm volatile("dsb" ::: "memory");
  npu_interrupt = true;
}

void (*npu_interrupt_handler)() = clear_npu_interrupt;

}  // namespace

void cortex_m::handle_npu_interrupt() { npu_interrupt_handler(); }

namespace platform {

std::uint32_t npu_read(std::uint32_t offset) { return reg(npu_base() + offset); }

void npu_write(std::uint32_t offset, std::uint32_t value) {
  // What the CPU wrote to memory must be there before the NPU is told to look at it.
  asm volatile("dsb" ::: "memory");
  reg(npu_base() + offset) = value;
}

void npu_set_interrupt_handler(void (*handler)()) {
  npu_interrupt_handler = handler != nullptr ? handler : clear_npu_interrupt;
}

void* npu_register_base() { return reinterpret_cast<void*>(npu_base()); }

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
