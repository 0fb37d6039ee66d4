#pragma once

#include <cstddef>

#include "base/span.h"

/// Arm semihosting (Semihosting for AArch32 and AArch64, Arm IHI 0100).
namespace enhancer::cortex_m::semihosting {

[[noreturn]] void exit(int code);

/// Show text on the debugger's console.
void write(Span<const char> text);

/// Copy the command line given to the simulator. Returns false when there is none or it is too
/// long.
bool command_line(char* text, std::size_t bytes);

}  // namespace enhancer::cortex_m::semihosting
