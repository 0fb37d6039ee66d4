#include <cstring>

#include "app/commands.h"
#include "app/run_statistics.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

Status replay(Engine& engine, const ModelPackage& package, RunStatistics& statistics) {
  const std::uint8_t* inputs = package.golden.inputs.data();
  const std::uint8_t* outputs = package.golden.outputs.data();
  engine.reset_state();
  for (std::uint32_t hop = 0; hop < package.golden.hops; ++hop) {
    HopCost cost;
    const std::uint64_t start = platform::ticks();
    for (std::size_t index = 0; index < package.inputs.size(); ++index) {
      const Span<std::uint8_t> input = engine.input(index);
      std::memcpy(input.data(), inputs, input.size());
      inputs += input.size();
    }
    if (const Status status = engine.infer(cost.npu); !status.ok()) {
      return status;
    }
    cost.inference_ticks = platform::ticks() - start;
    statistics.add(cost);
    for (std::size_t index = 0; index < package.outputs.size(); ++index) {
      const Span<const std::uint8_t> output = engine.output(index);
      statistics.compare(output, {outputs, output.size()});
      outputs += output.size();
    }
  }
  return kOk;
}

}  // namespace

Status benchmark(Engine& engine, const ModelPackage& package, std::uint32_t passes) {
  if (package.golden.hops == 0) {
    return {Error::kGoldenMissing};
  }
  RunStatistics statistics;
  Status status;
  for (std::uint32_t pass = 0; pass < passes && status.ok(); ++pass) {
    status = replay(engine, package, statistics);
  }
  statistics.send_summary();
  if (status.ok() && statistics.mismatched_bytes() > 0) {
    return {Error::kGoldenMismatch, 0, static_cast<std::uint32_t>(statistics.mismatched_bytes())};
  }
  return status;
}

}  // namespace enhancer
