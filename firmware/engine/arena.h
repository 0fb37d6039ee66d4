#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/span.h"
#include "base/status.h"

namespace enhancer {

/// Hands out parts of a memory, one after the other.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 16;

  explicit Arena(Span<std::uint8_t> memory) : memory_(memory) {}

  /// Take `bytes`, rounded up to the alignment. Past the end of the memory nothing is handed out;
  /// status() then tells how much all of it takes.
  Span<std::uint8_t> take(std::uint64_t bytes) {
    const std::uint64_t start = used_;
    used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (used_ > memory_.size()) {
      return {};
    }
    return memory_.subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(bytes));
  }

  /// All that is left.
  Span<std::uint8_t> rest() const {
    const auto start = static_cast<std::size_t>(used_ < memory_.size() ? used_ : memory_.size());
    return memory_.subspan(start, memory_.size() - start);
  }

  /// Of all that was asked for.
  std::uint64_t used_bytes() const { return used_; }

  Status status() const {
    if (const Status status = check_alignment(memory_.data(), kAlignment); !status.ok()) {
      return status;
    }
    return used_ <= memory_.size()
               ? kOk
               : Status{Error::kArenaTooSmall, in_32_bits(used_), in_32_bits(memory_.size())};
  }

 private:
  static std::uint32_t in_32_bits(std::uint64_t bytes) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, UINT32_MAX));
  }

  Span<std::uint8_t> memory_;
  std::uint64_t used_ = 0;
};

}  // namespace enhancer
