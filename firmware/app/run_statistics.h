#pragma once

#include <cstdint>

#include "app/stream_enhancer.h"

namespace enhancer {

/// Reports each hop and sums up the run.
class RunStatistics {
 public:
  void add(const HopCost& cost);
  void compare(std::uint32_t compared_bytes, std::uint32_t mismatched_bytes);
  std::uint64_t mismatched_bytes() const { return mismatched_bytes_; }
  void send_summary() const;

 private:
  std::uint64_t hops_ = 0;
  std::uint64_t sum_ticks_ = 0;
  std::uint64_t max_ticks_ = 0;
  std::uint64_t compared_bytes_ = 0;
  std::uint64_t mismatched_bytes_ = 0;
};

}  // namespace enhancer
