#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"

namespace enhancer {

/// Kinds of section in a model package.
struct Section {
  enum Kind : std::uint32_t {
    kFrontEnd = 1,
    kTensors = 2,
    kNpuJob = 3,
    kNpuStream = 4,
    kNpuWeights = 5,
    kTflite = 6,
    kGolden = 7,
    kMemoryTiming = 8,
    kDelays = 9,
    kPackedWeights = 10,
    kCount = 11,
  };
};

/// A model package taken apart: header, table of sections and checksum are sound, the content of
/// the sections is not looked at.
struct Container {
  std::uint32_t crc32 = 0;
  std::uint32_t bytes = 0;
  Span<const std::uint8_t> sections[Section::kCount];  ///< By kind; empty where absent.
};

/// Check `memory` (the place where a package may lie; longer than the package is fine) and fill
/// `container` with views into it.
Status open_container(Span<const std::uint8_t> memory, Container& container);

constexpr Status malformed(std::uint32_t section, std::uint32_t detail = 0) {
  return {Error::kPackageMalformed, section, detail};
}

}  // namespace enhancer
