#pragma once

#include "base/status.h"
#include "engine/engine.h"
#include "model/package.h"

namespace enhancer {

/// Enhance a WAV file. With a trace path, also write each hop's stored features and mask.
Status enhance_file(Engine& engine, const ModelPackage& package, const char* noisy_path,
                    const char* enhanced_path, const char* trace_path);

/// Replay the package's golden hops `passes` times and compare every mask byte.
Status benchmark(Engine& engine, const ModelPackage& package, std::uint32_t passes);

}  // namespace enhancer
