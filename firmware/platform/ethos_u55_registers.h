#pragma once

#include <cstdint>

/// Registers of the Ethos-U55 as far as the firmware uses them, as offsets into the NPU's register
/// block (Arm Ethos-U55 NPU Technical Reference Manual, 102420).
namespace enhancer::ethos_u55 {

enum Register : std::uint32_t {
  kId = 0x000,
  kStatus = 0x004,
  kCommand = 0x008,
  kReset = 0x00C,
  kQueueBase = 0x010,
  kQueueConfig = 0x01C,
  kQueueSize = 0x020,
  kProtection = 0x024,
  kConfig = 0x028,
  kRegionConfig = 0x03C,
  kAxiLimit0 = 0x040,
  kBasePointer0 = 0x080,
  kPmuControl = 0x180,
  kPmuEnableSet = 0x184,
  kPmuEnableClear = 0x188,
  kPmuCycleLow = 0x1A0,
  kPmuCycleHigh = 0x1A4,
  kPmuCycleConfig = 0x1A8,
  kPmuCounter0 = 0x300,
  kPmuEventType0 = 0x380,
};

constexpr std::uint32_t kCommandRun = 1U << 0;
constexpr std::uint32_t kCommandClearInterrupt = 1U << 1;
/// Let the NPU's clock and power be gated while it does nothing. Part of every write to CMD, which
/// replaces both bits.
constexpr std::uint32_t kCommandGating = 3U << 2;

constexpr std::uint32_t kStatusBusFault = 1U << 2;
constexpr std::uint32_t kStatusResetPending = 1U << 3;
constexpr std::uint32_t kStatusCommandParseError = 1U << 4;
constexpr std::uint32_t kStatusCommandEnd = 1U << 5;
constexpr std::uint32_t kStatusWeightDecoderFault = 1U << 7;
constexpr std::uint32_t kStatusEccFault = 1U << 8;

}  // namespace enhancer::ethos_u55
