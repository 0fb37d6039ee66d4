#include "app/commands.h"
#include "app/run_statistics.h"
#include "platform/platform.h"

namespace enhancer {

Status benchmark(Engine& engine, const ModelPackage& package, std::uint32_t passes) {
  const Golden& golden = package.golden;
  if (golden.hops == 0) {
    return {Error::kGoldenMissing};
  }
  RunStatistics statistics;
  std::int8_t mask[kMaxBands];
  const std::size_t bands = package.mask.bytes;
  for (std::uint32_t pass = 0; pass < passes; ++pass) {
    engine.reset_state();
    for (std::uint32_t hop = 0; hop < golden.hops; ++hop) {
      HopCost cost;
      const std::uint64_t start = platform::ticks();
      const Status status =
          engine.infer(golden.features.subspan(hop * bands, bands), {mask, bands}, cost.npu);
      if (!status.ok()) {
        return status;
      }
      cost.inference_ticks = platform::ticks() - start;
      statistics.add(cost);
      std::uint32_t mismatched = 0;
      for (std::size_t band = 0; band < bands; ++band) {
        mismatched += mask[band] != golden.mask[hop * bands + band] ? 1 : 0;
      }
      statistics.compare(static_cast<std::uint32_t>(bands), mismatched);
    }
  }
  statistics.send_summary();
  const std::uint64_t mismatched = statistics.mismatched_bytes();
  return mismatched == 0
             ? kOk
             : Status{Error::kGoldenMismatch, 0, static_cast<std::uint32_t>(mismatched)};
}

}  // namespace enhancer
