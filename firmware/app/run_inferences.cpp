#include "app/commands.h"
#include "app/paths.h"
#include "app/run_statistics.h"
#include "platform/platform.h"
#include "platform/services.h"

namespace enhancer {
namespace {

/// Fills the inputs of one inference. `done` is set where the file ends before the first byte.
Status read_inputs(platform::File& file, Engine& engine, const ModelPackage& package, bool& done) {
  for (std::size_t index = 0; index < package.inputs.size(); ++index) {
    const Span<std::uint8_t> input = engine.input(index);
    const std::size_t count = file.read(input.data(), input.size());
    done = index == 0 && count == 0;
    if (done) {
      return kOk;
    }
    if (count != input.size()) {
      return {Error::kFileRead, static_cast<std::uint32_t>(input.size()),
              static_cast<std::uint32_t>(count)};
    }
  }
  return kOk;
}

Status run_all(Engine& engine, const ModelPackage& package, platform::File& inputs,
               platform::File& outputs, RunStatistics& statistics) {
  engine.reset_state();
  for (;;) {
    bool done = false;
    if (const Status status = read_inputs(inputs, engine, package, done); !status.ok() || done) {
      return status;
    }
    HopCost cost;
    const std::uint64_t start = platform::ticks();
    if (const Status status = engine.infer(cost.npu); !status.ok()) {
      return status;
    }
    cost.inference_ticks = platform::ticks() - start;
    statistics.add(cost);
    for (std::size_t index = 0; index < package.outputs.size(); ++index) {
      const Span<const std::uint8_t> output = engine.output(index);
      if (!outputs.write(output.data(), output.size())) {
        return {Error::kFileWrite};
      }
    }
  }
}

}  // namespace

Status run_inferences(Engine& engine, const ModelPackage& package, const char* inputs_path,
                      const char* outputs_path) {
  if (are_same(inputs_path, outputs_path)) {
    return {Error::kFileSame};
  }
  platform::File inputs;
  platform::File outputs;
  if (!inputs.open(inputs_path, platform::File::Mode::kRead) ||
      !outputs.open(outputs_path, platform::File::Mode::kWrite)) {
    return {Error::kFileOpen};
  }
  RunStatistics statistics;
  const Status status = run_all(engine, package, inputs, outputs, statistics);
  statistics.send_summary();
  if (!status.ok()) {
    return status;
  }
  return outputs.close() ? kOk : Status{Error::kFileWrite};
}

}  // namespace enhancer
