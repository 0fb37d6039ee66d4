#include "engine/npu/ethos_u55.h"

#include "engine/npu/pmu.h"
#include "platform/ethos_u55_registers.h"
#include "platform/platform.h"

namespace enhancer::ethos_u55 {
namespace {

using platform::npu_read;
using platform::npu_write;

constexpr std::uint32_t kPrivilegedSecure = 1;
/// Major (4 bits) and minor (8 bits) version of the architecture in the ID register; patch releases
/// do not matter to a command stream.
constexpr std::uint32_t kArchitectureMajorShift = 28;
constexpr std::uint32_t kArchitectureMinorShift = 20;
/// What a command stream depends on in the CONFIG register: product, version of the stream, MACs.
constexpr std::uint32_t kConfigMask = 0xF00000FF;
/// A stream that uses the custom DMA needs an NPU that has it.
constexpr std::uint32_t kConfigCustomDma = 1U << 27;

/// AXI limits: bursts of up to 256 bytes, memory type "write-back, allocate on read and write",
/// 32 outstanding reads and 16 outstanding writes, the most the NPU allows.
constexpr std::uint32_t kAxiLimit = 0x0F1F00F2;
constexpr std::uint32_t kAxiLimits = 4;

/// Each region, and the command queue, uses one of four traffic classes: 0 and 1 leave through
/// AXI port 0 (SRAM), 2 and 3 through AXI port 1 (flash, DDR).
enum TrafficClass : std::uint32_t { kSram = 0, kSramReadOnly = 1, kFlash = 3 };

constexpr int kResetPolls = 10000;

void write_address(std::uint32_t offset, const void* address) {
  const std::uint64_t value = reinterpret_cast<std::uintptr_t>(address);
  npu_write(offset, static_cast<std::uint32_t>(value));
  npu_write(offset + 4, static_cast<std::uint32_t>(value >> 32));
}

Status outcome(bool answered, std::uint32_t status) {
  if (!answered) {
    return {Error::kNpuTimeout, kStatusCommandEnd, status};
  }
  if ((status & (kStatusBusFault | kStatusEccFault)) != 0) {
    return {Error::kNpuBusFault, kStatusCommandEnd, status};
  }
  if ((status & kStatusWeightDecoderFault) != 0) {
    return {Error::kNpuWeights, kStatusCommandEnd, status};
  }
  if ((status & kStatusCommandParseError) != 0 || (status & kStatusCommandEnd) == 0) {
    return {Error::kNpuCommand, kStatusCommandEnd, status};
  }
  return kOk;
}

}  // namespace

Status probe(std::uint32_t architecture, std::uint32_t config) {
  const std::uint32_t id = npu_read(kId);
  if (id == 0) {
    return {Error::kNpuAbsent};
  }
  // A newer minor version runs older command streams.
  if (id >> kArchitectureMajorShift != architecture >> kArchitectureMajorShift ||
      id >> kArchitectureMinorShift < architecture >> kArchitectureMinorShift) {
    return {Error::kNpuArchitecture, architecture, id};
  }
  const std::uint32_t actual = npu_read(kConfig);
  const bool fits = ((actual ^ config) & kConfigMask) == 0 &&
                    ((config & kConfigCustomDma) == 0 || (actual & kConfigCustomDma) != 0);
  return fits ? kOk : Status{Error::kNpuConfiguration, config, actual};
}

Status reset() {
  npu_write(kReset, kPrivilegedSecure);
  for (int poll = 0; poll < kResetPolls; ++poll) {
    if ((npu_read(kStatus) & kStatusResetPending) == 0) {
      const std::uint32_t protection = npu_read(kProtection);
      if (protection != kPrivilegedSecure) {
        return {Error::kNpuReset, kPrivilegedSecure, protection};
      }
      for (std::uint32_t index = 0; index < kAxiLimits; ++index) {
        npu_write(kAxiLimit0 + 4 * index, kAxiLimit);
      }
      return kOk;
    }
  }
  return {Error::kNpuReset, 0, npu_read(kStatus)};
}

void start(const Job& job) {
  write_address(kQueueBase, job.stream.data());
  npu_write(kQueueSize, static_cast<std::uint32_t>(job.stream.size()));
  npu_write(kQueueConfig, kFlash);
  write_address(kBasePointer0, job.weights.data());
  write_address(kBasePointer0 + 8, job.arena.data());
  write_address(kBasePointer0 + 16, job.arena.data());
  const std::uint32_t weights_class = job.weights_in_sram ? kSramReadOnly : kFlash;
  npu_write(kRegionConfig, weights_class | kSram << 2 | kSram << 4);

  // An interrupt of a job that was given up must not end this one.
  (void)platform::npu_wait_for_interrupt(0);
  platform::cache_clean(job.arena.data(), job.arena.size());
  pmu::start();
  npu_write(kCommand, kCommandGating | kCommandRun);
}

Status wait(const Job& job, std::uint64_t timeout_ticks, NpuCounters& counters) {
  const bool answered = platform::npu_wait_for_interrupt(timeout_ticks);
  counters = pmu::stop();
  platform::cache_invalidate(job.arena.data(), job.arena.size());
  const Status status = outcome(answered, npu_read(kStatus));
  if (!status.ok()) {
    // After a fault nothing but a reset brings the NPU back.
    (void)reset();
  }
  return status;
}

}  // namespace enhancer::ethos_u55
