#pragma once

#include <cstddef>
#include <cstdint>

/// All that the library needs from a board. One implementation is linked, such as
/// platform/corstone300 or platform/host; README.md beside this file tells how to add another.
namespace enhancer::platform {

/// Ticks since start, and their frequency. On a Cortex-M these are CPU clock cycles.
std::uint64_t ticks();
std::uint32_t ticks_per_second();

/// The NPU's register block.
std::uint32_t npu_read(std::uint32_t offset);
void npu_write(std::uint32_t offset, std::uint32_t value);

/// Sleep until the NPU has raised its interrupt since the last call, at most `timeout_ticks`; with
/// 0 do not sleep. The interrupt is cleared in the NPU. Returns whether it was raised.
bool npu_wait_for_interrupt(std::uint64_t timeout_ticks);

/// Around a job, for a CPU that caches memory it shares with the NPU: write what the CPU has
/// written to these bytes back to memory; forget what it holds of them. Do nothing where they are
/// not cached.
void cache_clean(const void* data, std::size_t bytes);
void cache_invalidate(void* data, std::size_t bytes);

/// The next two are called by the tflm engine only, whose driver is Arm's.
/// Let that driver handle the NPU interrupt during a job: `handler` runs in interrupt context and
/// clears it in the NPU. With nullptr, npu_wait_for_interrupt() handles it again.
void npu_set_interrupt_handler(void (*handler)());

/// Where that driver finds the registers.
void* npu_register_base();

}  // namespace enhancer::platform
