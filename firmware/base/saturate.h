#pragma once

#include <cmath>
#include <limits>

namespace enhancer {

/// The nearest integer of type T, ties to even; what is out of range becomes the nearest end, and
/// NaN the lowest value.
template <typename T>
T saturate(float value) {
  constexpr float kLowest = std::numeric_limits<T>::min();
  constexpr float kHighest = std::numeric_limits<T>::max();
  const float rounded = std::nearbyint(value);
  if (rounded >= kHighest) {
    return std::numeric_limits<T>::max();
  }
  return rounded >= kLowest ? static_cast<T>(rounded) : std::numeric_limits<T>::min();
}

}  // namespace enhancer
