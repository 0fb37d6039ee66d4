#pragma once

#include <cstdint>

/// Addresses of the Corstone-300 (Arm SSE-300 on MPS3 AN547, secure aliases).
namespace enhancer::corstone300 {

constexpr std::uint32_t kNpuRegisters = 0x58102000;
constexpr std::uint32_t kNpuIrq = 56;
constexpr std::uint32_t kTimingAdapter0 = 0x58103000;
constexpr std::uint32_t kTimingAdapter1 = 0x58103200;

constexpr std::uint32_t kUart0 = 0x59303000;

constexpr std::uint32_t kSystemClockHz = 32000000;
constexpr std::uint32_t kPeripheralClockHz = 25000000;

}  // namespace enhancer::corstone300
