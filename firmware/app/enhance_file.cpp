#include "app/commands.h"
#include "app/run_statistics.h"
#include "app/stream_enhancer.h"
#include "app/wav.h"

namespace enhancer {
namespace {

StreamEnhancer stream;

Status write_trace(platform::File& trace) {
  const bool written = trace.write(stream.features().data(), stream.features().size()) &&
                       trace.write(stream.mask().data(), stream.mask().size());
  return written ? kOk : Status{Error::kFileWrite};
}

}  // namespace

Status enhance_file(Engine& engine, const ModelPackage& package, const char* noisy_path,
                    const char* enhanced_path, const char* trace_path) {
  WavReader reader;
  WavWriter writer;
  platform::File trace;
  if (const Status status = reader.open(noisy_path); !status.ok()) {
    return status;
  }
  if (const Status status = writer.open(enhanced_path, reader.samples()); !status.ok()) {
    return status;
  }
  if (trace_path != nullptr && !trace.open(trace_path, platform::File::Mode::kWrite)) {
    return {Error::kFileOpen};
  }

  stream.start(engine, package);
  RunStatistics statistics;
  std::uint32_t missing = reader.samples();
  // Output lags one hop: the first hop out is the zeros before the file, and one hop of zeros
  // pushes the last samples out.
  for (bool first = true; missing > 0; first = false) {
    float hop[kHopSamples];
    HopCost cost;
    if (const Status status = reader.read(hop); !status.ok()) {
      return status;
    }
    if (const Status status = stream.process(hop, hop, cost); !status.ok()) {
      return status;
    }
    statistics.add(cost);
    if (trace_path != nullptr) {
      if (const Status status = write_trace(trace); !status.ok()) {
        return status;
      }
    }
    if (!first) {
      const std::uint32_t count = missing < kHopSamples ? missing : kHopSamples;
      if (const Status status = writer.write({hop, count}); !status.ok()) {
        return status;
      }
      missing -= count;
    }
  }
  statistics.send_summary();
  const bool trace_closed = trace_path == nullptr || trace.close();
  const Status closed = writer.close();
  return trace_closed ? closed : Status{Error::kFileWrite};
}

}  // namespace enhancer
