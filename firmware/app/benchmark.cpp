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
  std::uint8_t mask[kMaxBandBytes];
  const std::size_t feature_bytes = package.features.bytes;
  const std::size_t mask_bytes = package.mask.bytes;
  for (std::uint32_t pass = 0; pass < passes; ++pass) {
    engine.reset_state();
    for (std::uint32_t hop = 0; hop < golden.hops; ++hop) {
      HopCost cost;
      const std::uint64_t start = platform::ticks();
      const Status status =
          engine.infer(golden.features.subspan(hop * feature_bytes, feature_bytes),
                       {mask, mask_bytes}, cost.npu);
      if (!status.ok()) {
        return status;
      }
      cost.inference_ticks = platform::ticks() - start;
      statistics.add(cost);
      std::uint32_t mismatched = 0;
      for (std::size_t byte = 0; byte < mask_bytes; ++byte) {
        mismatched += mask[byte] != golden.mask[hop * mask_bytes + byte] ? 1 : 0;
      }
      statistics.compare(package.mask.bytes, mismatched);
    }
  }
  statistics.send_summary();
  const std::uint64_t mismatched = statistics.mismatched_bytes();
  return mismatched == 0
             ? kOk
             : Status{Error::kGoldenMismatch, 0, static_cast<std::uint32_t>(mismatched)};
}

}  // namespace enhancer
