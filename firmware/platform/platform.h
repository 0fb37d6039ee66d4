#pragma once

#include <cstddef>
#include <cstdint>

#include "base/span.h"

/// All that the rest of the firmware needs from a board. One implementation is linked, such as
/// platform/corstone300 or platform/host; README.md beside this file tells how to add another.
namespace enhancer::platform {

/// Short name for reports, for example "corstone300".
const char* board();

/// Send text to the console that carries the report protocol.
void console_write(Span<const char> text);

/// Ticks since start, and their frequency. On a Cortex-M these are CPU clock cycles.
std::uint64_t ticks();
std::uint32_t ticks_per_second();

/// The deepest stack use so far, and the size of the stack. Zero where unknown.
std::size_t stack_used_bytes();
std::size_t stack_capacity_bytes();

/// Memory in which a model package may have been placed before start.
Span<const std::uint8_t> model_memory();

/// Memory that the NPU reaches at full speed: tensor arena, weights copied at boot. It is not
/// cached by the CPU, so no cache maintenance is needed around an NPU job.
Span<std::uint8_t> npu_sram();

/// The NPU's register block.
std::uint32_t npu_read(std::uint32_t offset);
void npu_write(std::uint32_t offset, std::uint32_t value);

/// Sleep until the NPU raised its interrupt since the last call, at most `timeout_ticks`; with 0
/// only forget an interrupt raised before. The interrupt is cleared in the NPU. Returns false on
/// timeout.
bool npu_wait_for_interrupt(std::uint64_t timeout_ticks);

/// Program the timing adapter of NPU AXI port 0 or 1 where the board has them, else do nothing;
/// registers as in MemoryTiming (model/package.h).
void npu_set_memory_timing(int axi_port, Span<const std::uint32_t> registers);

/// The next two are called by the tflm engine only, whose driver is Arm's.
/// Let that driver handle the NPU interrupt: `handler` runs in interrupt context and must clear it
/// in the NPU. From then on npu_wait_for_interrupt() does not return true.
void npu_set_interrupt_handler(void (*handler)());

/// Where that driver finds the registers.
void* npu_register_base();

/// A file on the machine that hosts the simulation or debugger. Closed by the destructor.
class File {
 public:
  enum class Mode { kRead, kWrite };

  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(); }

  bool open(const char* path, Mode mode);
  /// Returns the number of bytes read; less than asked for at the end of the file or on error.
  std::size_t read(void* data, std::size_t bytes);
  bool write(const void* data, std::size_t bytes);
  /// Go on reading or writing at `position`, in bytes from the start.
  bool seek(std::size_t position);
  /// Returns false when the data may not have reached the file.
  bool close();

 private:
  static constexpr int kClosed = -1;
  int handle_ = kClosed;
};

}  // namespace enhancer::platform
