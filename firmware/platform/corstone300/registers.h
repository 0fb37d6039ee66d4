#pragma once

#include <cstdint>

/// Register addresses of the Corstone-300 (Arm SSE-300 on MPS3 AN547, secure aliases) and of the
/// Armv8.1-M system control space, as far as this port uses them.
namespace enhancer::corstone300 {

inline volatile std::uint32_t& reg(std::uint32_t address) {
  return *reinterpret_cast<volatile std::uint32_t*>(address);
}

constexpr std::uint32_t kNpuBase = 0x58102000;
constexpr std::uint32_t kNpuIrq = 56;
constexpr std::uint32_t kTimingAdapter0 = 0x58103000;
constexpr std::uint32_t kTimingAdapter1 = 0x58103200;

constexpr std::uint32_t kUart0Data = 0x59303000;
constexpr std::uint32_t kUart0State = 0x59303004;
constexpr std::uint32_t kUart0Control = 0x59303008;
constexpr std::uint32_t kUart0BaudDivider = 0x59303010;

constexpr std::uint32_t kSystemClockHz = 32000000;
constexpr std::uint32_t kPeripheralClockHz = 25000000;

constexpr std::uint32_t kSysTickControl = 0xE000E010;
constexpr std::uint32_t kSysTickReload = 0xE000E014;
constexpr std::uint32_t kSysTickValue = 0xE000E018;
constexpr std::uint32_t kNvicEnableSet = 0xE000E100;
constexpr std::uint32_t kVectorTableOffset = 0xE000ED08;
constexpr std::uint32_t kConfigurationAndControl = 0xE000ED14;
constexpr std::uint32_t kSystemHandlerControl = 0xE000ED24;
constexpr std::uint32_t kConfigurableFaultStatus = 0xE000ED28;
constexpr std::uint32_t kHardFaultStatus = 0xE000ED2C;
constexpr std::uint32_t kBusFaultAddress = 0xE000ED38;
constexpr std::uint32_t kMpuControl = 0xE000ED94;
constexpr std::uint32_t kMpuRegion = 0xE000ED98;
constexpr std::uint32_t kMpuBase = 0xE000ED9C;
constexpr std::uint32_t kMpuLimit = 0xE000EDA0;
constexpr std::uint32_t kMpuAttributes0 = 0xE000EDC0;
constexpr std::uint32_t kCoprocessorAccess = 0xE000ED88;

}  // namespace enhancer::corstone300
