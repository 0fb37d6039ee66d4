#include "engine/npu/pmu.h"

#include "platform/ethos_u55_registers.h"
#include "platform/platform.h"

namespace enhancer::ethos_u55 {
namespace {

using platform::npu_read;
using platform::npu_write;

enum Event : std::uint32_t {
  kNpuActive = 0x23,
  kAxi0ReadBeat = 0x82,
  kAxi0WriteBeat = 0x87,
  kAxi1ReadBeat = 0x182,
};
constexpr std::uint32_t kEvents[] = {kNpuActive, kAxi0ReadBeat, kAxi0WriteBeat, kAxi1ReadBeat};

constexpr std::uint32_t kEnableAndClear = 0x7;
constexpr std::uint32_t kAllCounters = 0x8000000F;

}  // namespace

void pmu::start() {
  npu_write(kPmuControl, kEnableAndClear);
  npu_write(kPmuCycleConfig, 0);
  for (std::uint32_t index = 0; index < 4; ++index) {
    npu_write(kPmuEventType0 + 4 * index, kEvents[index]);
  }
  npu_write(kPmuEnableSet, kAllCounters);
}

NpuCounters pmu::stop() {
  npu_write(kPmuEnableClear, kAllCounters);
  NpuCounters counters;
  counters.total_cycles =
      npu_read(kPmuCycleLow) | static_cast<std::uint64_t>(npu_read(kPmuCycleHigh)) << 32;
  counters.active_cycles = npu_read(kPmuCounter0);
  counters.axi0_read_beats = npu_read(kPmuCounter0 + 4);
  counters.axi0_write_beats = npu_read(kPmuCounter0 + 8);
  counters.axi1_read_beats = npu_read(kPmuCounter0 + 12);
  return counters;
}

}  // namespace enhancer::ethos_u55
