#pragma once

#include <cstdint>

#include "base/span.h"

namespace enhancer::cortex_m {

/// A region of the memory protection unit of Armv8-M: first and last byte, on 32 bytes.
struct Region {
  std::uint32_t first;
  std::uint32_t last;
  std::uint32_t access;  ///< kReadOnly or kReadWrite, with kNeverExecute or without.
  std::uint32_t kind;    ///< kMemory or kDevice.

  static constexpr std::uint32_t kReadOnly = 3U << 1;
  static constexpr std::uint32_t kReadWrite = 1U << 1;
  static constexpr std::uint32_t kNeverExecute = 1;
  static constexpr std::uint32_t kMemory = 0;
  static constexpr std::uint32_t kDevice = 1;
};

/// Allow access to these regions only. Their memory is not cached.
void protect(Span<const Region> regions);

}  // namespace enhancer::cortex_m
