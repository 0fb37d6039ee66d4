#pragma once

#include <cstdint>

/// Registers of the system control space that every Cortex-M has (Armv7-M and Armv8-M Architecture
/// Reference Manuals), as far as the ports use them.
namespace enhancer::cortex_m {

inline volatile std::uint32_t& reg(std::uint32_t address) {
  return *reinterpret_cast<volatile std::uint32_t*>(address);
}

constexpr std::uint32_t kSysTickControl = 0xE000E010;
constexpr std::uint32_t kSysTickReload = 0xE000E014;
constexpr std::uint32_t kSysTickValue = 0xE000E018;
constexpr std::uint32_t kNvicEnableSet = 0xE000E100;
constexpr std::uint32_t kInterruptControl = 0xE000ED04;
constexpr std::uint32_t kSysTickPending = 1U << 26;
constexpr std::uint32_t kVectorTableOffset = 0xE000ED08;
constexpr std::uint32_t kConfigurationAndControl = 0xE000ED14;
constexpr std::uint32_t kSystemHandlerControl = 0xE000ED24;
constexpr std::uint32_t kConfigurableFaultStatus = 0xE000ED28;
constexpr std::uint32_t kHardFaultStatus = 0xE000ED2C;
constexpr std::uint32_t kBusFaultAddress = 0xE000ED38;
constexpr std::uint32_t kMpuControl = 0xE000ED94;
constexpr std::uint32_t kMpuRegion = 0xE000ED98;
constexpr std::uint32_t kMpuBase = 0xE000ED9C;
/// Limit of a region in Armv8-M; its size and attributes in Armv7-M.
constexpr std::uint32_t kMpuLimit = 0xE000EDA0;
constexpr std::uint32_t kMpuAttributes0 = 0xE000EDC0;

inline void enable_irq(std::uint32_t irq) {
  reg(kNvicEnableSet + 4 * (irq / 32)) = 1U << (irq % 32);
}

/// Let the memory protection unit take effect, for all that is not one of its regions a fault.
inline void enable_mpu() {
  reg(kMpuControl) = 1;
  asm volatile("dsb \n isb" ::: "memory");
}

}  // namespace enhancer::cortex_m
