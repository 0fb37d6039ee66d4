#pragma once

#include <cstdint>

namespace enhancer {

/// Every way a run can fail. The number is the exit code and is part of the report protocol
/// (docs/firmware-reference.md), so a number is never reused.
enum class Error : std::uint8_t {
  kNone = 0,
  kUsage = 10,
  kPackageMissing = 20,
  kPackageVersion = 21,
  kPackageTruncated = 22,
  kPackageChecksum = 23,
  kPackageMalformed = 24,
  kPackageNoEngine = 25,
  kPackageNoFrontEnd = 26,
  kNpuAbsent = 30,
  kNpuArchitecture = 31,
  kNpuConfiguration = 32,
  kNpuReset = 33,
  kNpuBusFault = 34,
  kNpuCommand = 35,
  kNpuTimeout = 36,
  kNpuWeights = 37,
  kArenaTooSmall = 40,
  kMemoryMisaligned = 41,
  kFileOpen = 50,
  kFileRead = 51,
  kFileWrite = 52,
  kWavMalformed = 53,
  kWavEncoding = 54,
  kWavBits = 55,
  kWavChannels = 56,
  kWavRate = 57,
  kFileSame = 58,
  kGoldenMissing = 60,
  kGoldenMismatch = 61,
  kTflmSchema = 70,
  kTflmOperator = 71,
  kTflmTensors = 72,
  kTflmInvoke = 73,
  kCpuFault = 90,
};

/// Name used in reports, for example "npu_timeout".
const char* error_name(Error error);

/// Outcome of an operation. `expected` and `actual` say what went wrong in numbers; their meaning
/// per error is listed in docs/firmware-reference.md.
struct [[nodiscard]] Status {
  Error error = Error::kNone;
  std::uint32_t expected = 0;
  std::uint32_t actual = 0;

  constexpr bool ok() const { return error == Error::kNone; }
};

constexpr Status kOk{};

/// Whether a memory of the caller begins where it has to.
inline Status check_alignment(const void* memory, std::uint32_t alignment) {
  const auto excess =
      static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(memory) % alignment);
  return excess == 0 ? kOk : Status{Error::kMemoryMisaligned, alignment, excess};
}

}  // namespace enhancer
