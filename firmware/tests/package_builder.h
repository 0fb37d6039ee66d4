#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace enhancer::fake {

using Bytes = std::vector<std::uint8_t>;

/// Parts of a model package for a network of four bands and one int16 state of two elements.
struct PackageParts {
  std::map<std::uint32_t, Bytes> sections;

  PackageParts();
  /// Make features and mask int16 with a range of [-1, 1).
  void widen_bands();
  Bytes build() const;
};

constexpr std::uint32_t kBands = 4;
constexpr std::uint32_t kArenaBytes = 64;
constexpr std::uint32_t kFeaturesOffset = 0;
constexpr std::uint32_t kStateInOffset = 16;
constexpr std::uint32_t kStateOutOffset = 32;
constexpr std::uint32_t kMaskOffset = 48;
constexpr std::uint32_t kArchitecture = 0x10066001;
constexpr std::uint32_t kConfig = 0x1807;

/// Write a value over the bytes at `offset`.
template <typename T>
void patch(Bytes& bytes, std::size_t offset, T value) {
  const auto* source = reinterpret_cast<const std::uint8_t*>(&value);
  for (std::size_t index = 0; index < sizeof value; ++index) {
    bytes.at(offset + index) = source[index];
  }
}

/// Recompute the checksum after patching a built package.
void seal(Bytes& package);

}  // namespace enhancer::fake
