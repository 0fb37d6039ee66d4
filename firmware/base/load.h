#pragma once

#include <cstdint>
#include <cstring>

#include "base/span.h"

namespace enhancer {

/// The value whose bytes begin at the start of `bytes`, which need not be aligned.
template <typename T>
T load(Span<const std::uint8_t> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace enhancer
