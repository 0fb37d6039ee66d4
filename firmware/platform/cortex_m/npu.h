#pragma once

#include <cstdint>

/// For boards with an Ethos-U55: the part of platform.h that is about it.
namespace enhancer::cortex_m {

/// The board's: address of the NPU's registers.
std::uint32_t npu_base();

/// The board calls this in the NPU's interrupt.
void handle_npu_interrupt();

}  // namespace enhancer::cortex_m
