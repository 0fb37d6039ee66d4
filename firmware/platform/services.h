#pragma once

#include <cstddef>
#include <cstdint>

#include "base/span.h"

/// What our application needs from a board beyond what the library does (platform.h).
namespace enhancer::platform {

/// Short name for reports, for example "corstone300".
const char* board();

/// Send text to the console that carries the report protocol.
void console_write(Span<const char> text);

/// The deepest stack use so far, and the size of the stack. Zero where unknown.
std::size_t stack_used_bytes();
std::size_t stack_capacity_bytes();

/// Memory in which a model package may have been placed before start.
Span<const std::uint8_t> model_memory();

/// Memory lent to the engine, which an NPU reaches at full speed: tensor arena, weights copied at
/// boot.
Span<std::uint8_t> arena_memory();

/// Program the timing adapter of NPU AXI port 0 or 1 where the board has them, else do nothing;
/// registers as in MemoryTiming (model/package.h).
void npu_set_memory_timing(int axi_port, Span<const std::uint32_t> registers);

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
