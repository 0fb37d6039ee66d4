#pragma once

#include "api/stream_enhancer.h"
#include "base/status.h"
#include "engine/engine.h"
#include "model/package.h"

namespace enhancer {

/// How a file is enhanced.
struct EnhanceMode {
  Schedule schedule = Schedule::kAtOnce;
  /// As a product does: a hop that fails, or whose NPU takes longer than a hop lasts, is passed
  /// through and counted, and the file goes on. If not, the file ends there.
  bool is_live = false;
};

/// Enhance a WAV file. With a trace path, also write the stored features and mask of each hop that
/// comes out.
Status enhance_file(Engine& engine, const ModelPackage& package, const char* noisy_path,
                    const char* enhanced_path, const char* trace_path, EnhanceMode mode);

/// Run the model over a file of inputs, one inference after the other with the state carried over,
/// each the model's inputs as stored, in order; write the outputs likewise.
Status run_inferences(Engine& engine, const ModelPackage& package, const char* inputs_path,
                      const char* outputs_path);

/// Replay the package's golden hops `passes` times and compare every byte that comes out.
Status benchmark(Engine& engine, const ModelPackage& package, std::uint32_t passes);

}  // namespace enhancer
