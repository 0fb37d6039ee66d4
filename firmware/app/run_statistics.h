#pragma once

#include <cstdint>

#include "api/stream_enhancer.h"

namespace enhancer {

/// Sums up a run in memory: a line for each hop would take longer to send than the hop lasts.
class RunStatistics {
 public:
  void add(const HopCost& cost);
  void compare(Span<const std::uint8_t> actual, Span<const std::uint8_t> expected);
  std::uint64_t mismatched_bytes() const { return mismatched_bytes_; }
  /// `counts` are of a run that enhances.
  void send_summary(const HopCounts& counts = {}) const;

 private:
  std::uint64_t hops_ = 0;
  HopCost sum_{};
  std::uint64_t max_ticks_ = 0;
  std::uint64_t compared_bytes_ = 0;
  std::uint64_t mismatched_bytes_ = 0;
};

}  // namespace enhancer
