#include "app/run_statistics.h"

#include <algorithm>

#include "dsp/frame.h"
#include "platform/platform.h"
#include "report/report.h"

namespace enhancer {

void RunStatistics::add(const HopCost& cost) {
  Report("hop")
      .add("index", hops_)
      .add("features_ticks", cost.features_ticks)
      .add("inference_ticks", cost.inference_ticks)
      .add("synthesis_ticks", cost.synthesis_ticks)
      .add("npu_total_cycles", cost.npu.total_cycles)
      .add("npu_active_cycles", cost.npu.active_cycles)
      .add("npu_idle_cycles", cost.npu.idle_cycles())
      .add("axi0_read_beats", cost.npu.axi0_read_beats)
      .add("axi0_write_beats", cost.npu.axi0_write_beats)
      .add("axi1_read_beats", cost.npu.axi1_read_beats)
      .send();
  ++hops_;
  sum_ticks_ += cost.total_ticks();
  max_ticks_ = std::max(max_ticks_, cost.total_ticks());
}

void RunStatistics::compare(std::uint32_t compared_bytes, std::uint32_t mismatched_bytes) {
  compared_bytes_ += compared_bytes;
  mismatched_bytes_ += mismatched_bytes;
}

void RunStatistics::send_summary() const {
  constexpr std::uint64_t kMillion = 1000000;
  const std::uint64_t hop_ticks =
      std::uint64_t{platform::ticks_per_second()} * kHopSamples / kRateHz;
  const std::uint64_t hops = std::max<std::uint64_t>(hops_, 1);
  Report("summary")
      .add("hops", hops_)
      .add("mean_ticks", sum_ticks_ / hops)
      .add("max_ticks", max_ticks_)
      .add("real_time_factor_ppm", sum_ticks_ * kMillion / (hops * hop_ticks))
      .add("compared_bytes", compared_bytes_)
      .add("mismatched_bytes", mismatched_bytes_)
      .add("stack_used_bytes", platform::stack_used_bytes())
      .add("stack_capacity_bytes", platform::stack_capacity_bytes())
      .send();
}

}  // namespace enhancer
