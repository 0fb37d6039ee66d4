#include "app/run_statistics.h"

#include <algorithm>

#include "platform/services.h"
#include "report/report.h"

namespace enhancer {

void RunStatistics::add(const HopCost& cost) {
  ++hops_;
  sum_ += cost;
  max_ticks_ = std::max(max_ticks_, cost.total_ticks());
}

void RunStatistics::compare(Span<const std::uint8_t> actual, Span<const std::uint8_t> expected) {
  compared_bytes_ += actual.size();
  for (std::size_t byte = 0; byte < actual.size(); ++byte) {
    mismatched_bytes_ += actual[byte] != expected[byte] ? 1 : 0;
  }
}

void RunStatistics::send_summary(const HopCounts& counts) const {
  Report("summary")
      .add("hops", hops_)
      .add("features_ticks", sum_.features_ticks)
      .add("inference_ticks", sum_.inference_ticks)
      .add("synthesis_ticks", sum_.synthesis_ticks)
      .add("max_ticks", max_ticks_)
      .add("retried_hops", counts.retried)
      .add("failed_hops", counts.failed)
      .add("late_hops", counts.late)
      .add("npu_total_cycles", sum_.npu.total_cycles)
      .add("npu_active_cycles", sum_.npu.active_cycles)
      .add("axi0_read_beats", sum_.npu.axi0_read_beats)
      .add("axi0_write_beats", sum_.npu.axi0_write_beats)
      .add("axi1_read_beats", sum_.npu.axi1_read_beats)
      .add("compared_bytes", compared_bytes_)
      .add("mismatched_bytes", mismatched_bytes_)
      .add("stack_used_bytes", platform::stack_used_bytes())
      .add("stack_capacity_bytes", platform::stack_capacity_bytes())
      .send();
}

}  // namespace enhancer
