#pragma once

#include <cstdint>

#include "base/span.h"

/// The UART of Arm's FPGA boards (Cortex-M System Design Kit, Arm DDI 0479).
namespace enhancer::cortex_m::cmsdk_uart {

/// Let the UART at `base` send.
void start(std::uint32_t base, std::uint32_t clock_hz);

/// Send text, waiting for each character.
void write(std::uint32_t base, Span<const char> text);

}  // namespace enhancer::cortex_m::cmsdk_uart
