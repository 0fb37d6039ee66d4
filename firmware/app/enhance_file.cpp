#include "api/stream_enhancer.h"
#include "app/commands.h"
#include "app/paths.h"
#include "app/run_statistics.h"
#include "app/wav.h"

namespace enhancer {
namespace {

constexpr std::uint32_t kSecond = 1000000;  // microseconds
constexpr std::uint32_t kHopMicroseconds = kHopSamples * std::uint64_t{kSecond} / kRateHz;

StreamEnhancer stream;

Status write_trace(platform::File& trace) {
  const bool written = trace.write(stream.features().data(), stream.features().size()) &&
                       trace.write(stream.mask().data(), stream.mask().size());
  return written ? kOk : Status{Error::kFileWrite};
}

Status enhance_all(WavReader& reader, WavWriter& writer, platform::File* trace, bool is_live,
                   RunStatistics& statistics) {
  // Output lags: the first hops out are the zeros before the file, and hops of zeros push the last
  // samples out.
  std::size_t pending[kMaxLatencyHops] = {};
  std::size_t& newest = pending[0];
  std::size_t& due = pending[stream.latency_hops() - 1];
  // Calls until the first hop comes out of the network.
  std::size_t silent = stream.latency_hops() - 1;
  for (;;) {
    float hop[kHopSamples];
    std::size_t count = 0;
    if (const Status status = reader.read(hop, count); !status.ok()) {
      return status;
    }
    if (count == 0 && newest == 0 && due == 0) {
      return kOk;
    }
    HopCost cost;
    if (const Status status = stream.process(hop, hop, cost); !status.ok() && !is_live) {
      return status;
    }
    statistics.add(cost);
    if (silent > 0) {
      --silent;
    } else if (trace != nullptr) {
      if (const Status status = write_trace(*trace); !status.ok()) {
        return status;
      }
    }
    if (const Status status = writer.write({hop, due}); !status.ok()) {
      return status;
    }
    due = newest;
    newest = count;
  }
}

}  // namespace

Status enhance_file(Engine& engine, const ModelPackage& package, const char* noisy_path,
                    const char* enhanced_path, const char* trace_path, EnhanceMode mode) {
  if (!package.has_front_end) {
    return {Error::kPackageNoFrontEnd};
  }
  if (are_same(noisy_path, enhanced_path) || are_same(noisy_path, trace_path) ||
      are_same(enhanced_path, trace_path)) {
    return {Error::kFileSame};
  }
  WavReader reader;
  WavWriter writer;
  platform::File trace;
  if (const Status status = reader.open(noisy_path); !status.ok()) {
    return status;
  }
  if (const Status status = writer.open(enhanced_path); !status.ok()) {
    return status;
  }
  if (trace_path != nullptr && !trace.open(trace_path, platform::File::Mode::kWrite)) {
    return {Error::kFileOpen};
  }

  stream.set_deadline(mode.is_live ? kHopMicroseconds : kSecond);
  stream.start(engine, package, mode.schedule);
  RunStatistics statistics;
  const Status status = enhance_all(reader, writer, trace_path != nullptr ? &trace : nullptr,
                                    mode.is_live, statistics);
  statistics.send_summary(stream.counts());
  if (!status.ok()) {
    return status;
  }
  const bool trace_closed = trace_path == nullptr || trace.close();
  const Status closed = writer.close();
  return trace_closed ? closed : Status{Error::kFileWrite};
}

}  // namespace enhancer
