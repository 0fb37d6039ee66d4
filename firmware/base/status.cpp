#include "base/status.h"

namespace enhancer {

const char* error_name(Error error) {
  switch (error) {
    case Error::kNone:
      return "none";
    case Error::kUsage:
      return "usage";
    case Error::kPackageMissing:
      return "package_missing";
    case Error::kPackageVersion:
      return "package_version";
    case Error::kPackageTruncated:
      return "package_truncated";
    case Error::kPackageChecksum:
      return "package_checksum";
    case Error::kPackageMalformed:
      return "package_malformed";
    case Error::kPackageNoEngine:
      return "package_no_engine";
    case Error::kPackageNoFrontEnd:
      return "package_no_front_end";
    case Error::kNpuAbsent:
      return "npu_absent";
    case Error::kNpuArchitecture:
      return "npu_architecture";
    case Error::kNpuConfiguration:
      return "npu_configuration";
    case Error::kNpuReset:
      return "npu_reset";
    case Error::kNpuBusFault:
      return "npu_bus_fault";
    case Error::kNpuCommand:
      return "npu_command";
    case Error::kNpuTimeout:
      return "npu_timeout";
    case Error::kNpuWeights:
      return "npu_weights";
    case Error::kArenaTooSmall:
      return "arena_too_small";
    case Error::kMemoryMisaligned:
      return "memory_misaligned";
    case Error::kFileOpen:
      return "file_open";
    case Error::kFileRead:
      return "file_read";
    case Error::kFileWrite:
      return "file_write";
    case Error::kWavMalformed:
      return "wav_malformed";
    case Error::kWavEncoding:
      return "wav_encoding";
    case Error::kWavBits:
      return "wav_bits";
    case Error::kWavChannels:
      return "wav_channels";
    case Error::kWavRate:
      return "wav_rate";
    case Error::kFileSame:
      return "file_same";
    case Error::kGoldenMissing:
      return "golden_missing";
    case Error::kGoldenMismatch:
      return "golden_mismatch";
    case Error::kTflmSchema:
      return "tflm_schema";
    case Error::kTflmOperator:
      return "tflm_operator";
    case Error::kTflmTensors:
      return "tflm_tensors";
    case Error::kTflmInvoke:
      return "tflm_invoke";
    case Error::kCpuFault:
      return "cpu_fault";
  }
  return "unknown";
}

}  // namespace enhancer
