#include <cstdint>
#include <cstring>

#include "app/application.h"
#include "platform/cortex_m/board.h"
#include "platform/cortex_m/clock.h"
#include "platform/cortex_m/memory.h"
#include "platform/cortex_m/semihosting.h"
#include "platform/cortex_m/system.h"
#include "report/report.h"

/// Reset and exceptions.

/// Armv8-M checks the stack pointer against a limit.
#if __ARM_ARCH >= 8
#define SET_STACK_LIMIT(symbol) "ldr r2, =" symbol "\n msr msplim, r2 \n"
#else
#define SET_STACK_LIMIT(symbol) ""
#endif

extern "C" {

extern std::uint32_t linker_stack_top;
extern std::uint32_t linker_data_start;
extern std::uint32_t linker_data_end;
extern std::uint32_t linker_data_load;
extern std::uint32_t linker_bss_start;
extern std::uint32_t linker_bss_end;
extern void (*linker_init_array_start[])();
extern void (*linker_init_array_end[])();

/// Registers that the processor stacks on exception entry.
struct ExceptionFrame {
  std::uint32_t r0, r1, r2, r3, r12, lr, pc, psr;
};

[[noreturn]] void report_cpu_fault(const ExceptionFrame* frame, std::uint32_t exception) {
  using namespace enhancer;
  using namespace enhancer::cortex_m;
  const std::uint32_t pc = frame != nullptr ? frame->pc : 0;
  Report("cpu_fault")
      .add("exception", exception)
      .add("pc", pc)
      .add("lr", frame != nullptr ? frame->lr : 0)
      .add("cfsr", reg(kConfigurableFaultStatus))
      .add("hfsr", reg(kHardFaultStatus))
      .add("bfar", reg(kBusFaultAddress))
      .send();
  report_error({Error::kCpuFault, 0, pc});
  report_end(Error::kCpuFault);
  semihosting::exit(static_cast<int>(Error::kCpuFault));
}

/// A fault may be a stack overflow, so the report runs on a stack of its own. A frame is only
/// passed on if stacking it did not fault (CFSR: STKOF, STKERR, MSTKERR, MLSPERR, LSPERR).
[[gnu::naked]] void Fault_Handler() {
  asm volatile(
      "mrs r0, msp              \n"
      "mrs r1, ipsr             \n"
      "ldr r2, =0xE000ED28      \n"
      "ldr r2, [r2]             \n"
      "ldr r3, =0x00103030      \n"
      "tst r2, r3               \n"
      "it ne                    \n"
      "movne r0, #0             \n"
      SET_STACK_LIMIT("linker_fault_stack_limit")
      "ldr r2, =linker_fault_stack_top   \n"
      "msr msp, r2              \n"
      "b report_cpu_fault       \n");
}

using Vector = void (*)();
constexpr int kSystemVectors = 16;
constexpr int kIrqVectors = 64;

struct VectorTable {
  std::uint32_t* initial_stack;
  Vector handlers[kSystemVectors - 1 + kIrqVectors];
};
extern const VectorTable vectors;

/// Reached by a call of a pure virtual function, which the compiler cannot rule out.
[[noreturn]] void __cxa_pure_virtual() { __builtin_trap(); }  // NOLINT: the name is the ABI's

/// The compiler places the guard below return addresses and compares it on return.
std::uintptr_t __stack_chk_guard = 0x5AFE57AC;              // NOLINT: the name is the ABI's
[[noreturn]] void __stack_chk_fail() { __builtin_trap(); }  // NOLINT: the name is the ABI's

void Reset_Handler();

[[noreturn, gnu::used]] void start_firmware() {
  using namespace enhancer;
  using namespace enhancer::cortex_m;
  const auto data_bytes = reinterpret_cast<std::uintptr_t>(&linker_data_end) -
                          reinterpret_cast<std::uintptr_t>(&linker_data_start);
  const auto bss_bytes = reinterpret_cast<std::uintptr_t>(&linker_bss_end) -
                         reinterpret_cast<std::uintptr_t>(&linker_bss_start);
  std::memcpy(&linker_data_start, &linker_data_load, data_bytes);
  std::memset(&linker_bss_start, 0, bss_bytes);
  paint_stack();
  // Does nothing where the CPU has none.
  constexpr std::uint32_t kLowOverheadBranches = 1U << 19;
  reg(kVectorTableOffset) = reinterpret_cast<std::uint32_t>(&vectors);
  reg(kConfigurationAndControl) = reg(kConfigurationAndControl) | kLowOverheadBranches;
  for (auto constructor = linker_init_array_start; constructor != linker_init_array_end;
       ++constructor) {
    (*constructor)();
  }
  protect_memory();
  constexpr std::uint32_t kEnableMemoryBusUsageFaults = 7U << 16;
  reg(kSystemHandlerControl) = reg(kSystemHandlerControl) | kEnableMemoryBusUsageFaults;
  start_clock();
  start_board();
  asm volatile("cpsie i" ::: "memory");

  static char command_line[256];
  Error error = Error::kUsage;
  if (semihosting::command_line(command_line, sizeof command_line)) {
    error = run_application(command_line);
  } else {
    report_error({Error::kUsage});
    report_end(Error::kUsage);
  }
  semihosting::exit(static_cast<int>(error));
}

[[gnu::naked]] void Reset_Handler() {
  asm volatile(
      SET_STACK_LIMIT("linker_stack_limit")
      "ldr r0, =linker_stack_top     \n"
      "msr msp, r0              \n"
      "ldr r0, =0xE000ED88      \n"  // CPACR: full access to the FPU and MVE
      "ldr r1, [r0]             \n"
      "orr r1, r1, #0xF00000    \n"
      "str r1, [r0]             \n"
      "dsb                      \n"
      "isb                      \n"
      "b start_firmware         \n");
}

constexpr VectorTable make_vectors() {
  VectorTable table{&linker_stack_top, {}};
  constexpr int kFirstHandler = 1;
  constexpr int kSysTickException = 15;
  int exception = kFirstHandler;
  for (Vector& handler : table.handlers) {
    handler = exception++ < kSystemVectors ? Fault_Handler : enhancer::cortex_m::handle_interrupt;
  }
  table.handlers[1 - kFirstHandler] = Reset_Handler;
  table.handlers[kSysTickException - kFirstHandler] = SysTick_Handler;
  return table;
}

[[gnu::section(".vectors"), gnu::used]] constexpr VectorTable vectors = make_vectors();

}  // extern "C"
