#pragma once

#include <algorithm>
#include <cstdint>

#include "base/load.h"
#include "base/span.h"
#include "model/package.h"

namespace enhancer {

/// A model with a gate computes one hop in so many at least.
constexpr std::int32_t kLongestWait = 4;

/// How many hops a model's gate lets pass before the next is computed. It gives a share of a hop;
/// the next is due when shares have added up to a half.
inline std::uint32_t skipped_hops(const TensorRecord& gate, Span<const std::uint8_t> stored) {
  const std::int32_t value = gate.type == TensorType::kInt16
                                 ? std::int32_t{load<std::int16_t>(stored)}
                                 : std::int32_t{load<std::int8_t>(stored)};
  const std::int32_t share = value - gate.zero_point;
  const auto half = static_cast<std::int32_t>(0.5F / gate.scale);
  const std::int32_t wait = share <= 0 ? kLongestWait : (half + share - 1) / share;
  return static_cast<std::uint32_t>(std::clamp<std::int32_t>(wait, 1, kLongestWait) - 1);
}

}  // namespace enhancer
