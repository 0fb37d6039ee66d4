#include "engine/npu/ethos_u55.h"

#include <gtest/gtest.h>

#include "fake_platform.h"
#include "package_builder.h"
#include "platform/ethos_u55_registers.h"

namespace enhancer {
namespace {

using namespace ethos_u55;

class EthosU55Test : public testing::Test {
 protected:
  void SetUp() override { fake::reset(); }
  std::map<std::uint32_t, std::uint32_t>& registers() { return fake::platform().npu_registers; }
  Error run_ending_with(std::uint32_t status) {
    fake::platform().on_run = [this, status] {
      registers()[kStatus] = status;
      return true;
    };
    return run().error;
  }

  Status run() {
    ethos_u55::start(job_);
    return ethos_u55::wait(job_, longest_job_ticks(), counters_);
  }

  NpuCounters counters_;
  std::uint8_t stream_[16] = {};
  std::uint8_t weights_[16] = {};
  std::uint8_t arena_[16] = {};
  ethos_u55::Job job_{stream_, weights_, arena_, false};
};

TEST_F(EthosU55Test, AcceptsTheNpuTheModelWasCompiledFor) {
  EXPECT_TRUE(ethos_u55::probe(fake::kArchitecture, fake::kConfig).ok());
}

TEST_F(EthosU55Test, RefusesAnyOtherNpu) {
  EXPECT_EQ(ethos_u55::probe(fake::kArchitecture, 0x3008).error, Error::kNpuConfiguration);
  EXPECT_EQ(ethos_u55::probe(0x20000000, fake::kConfig).error, Error::kNpuArchitecture);
  EXPECT_EQ(ethos_u55::probe(0x10200000, fake::kConfig).error, Error::kNpuArchitecture);
  for (const int bit : {4, 27, 28}) {  // Stream version, custom DMA, product.
    EXPECT_EQ(ethos_u55::probe(fake::kArchitecture, fake::kConfig | 1U << bit).error,
              Error::kNpuConfiguration);
  }
  registers()[kId] = 0;
  EXPECT_EQ(ethos_u55::probe(fake::kArchitecture, fake::kConfig).error, Error::kNpuAbsent);
}

/// As Arm's driver: a stream depends on product, stream version, MACs, major and minor version.
TEST_F(EthosU55Test, AcceptsAnNpuThatDiffersOnlyInWhatStreamsDoNotDependOn) {
  constexpr std::uint32_t kShramKib = 0x3000;
  constexpr std::uint32_t kFunctionalSafety = 1U << 26;
  constexpr std::uint32_t kCustomDma = 1U << 27;
  registers()[kConfig] = (fake::kConfig & 0xFFU) | kShramKib | kFunctionalSafety | kCustomDma;
  EXPECT_TRUE(ethos_u55::probe(fake::kArchitecture, fake::kConfig).ok());
  registers()[kId] = 0x10004004;
  EXPECT_TRUE(ethos_u55::probe(0x10066001, fake::kConfig).ok());
}

TEST_F(EthosU55Test, ResetEndsInTheSecureState) { EXPECT_TRUE(ethos_u55::reset().ok()); }

TEST_F(EthosU55Test, ResetThatNeverEndsIsReported) {
  fake::platform().npu_resets = false;
  EXPECT_EQ(ethos_u55::reset().error, Error::kNpuReset);
}

TEST_F(EthosU55Test, RunProgramsQueueRegionsAndReadsCounters) {
  fake::platform().on_run = [this] {
    EXPECT_EQ(fake::npu_pointer(0x010), stream_);
    EXPECT_EQ(registers()[kQueueSize], sizeof stream_);
    EXPECT_EQ(fake::npu_pointer(kBasePointer0), weights_);
    EXPECT_EQ(fake::npu_pointer(kBasePointer0 + 8), arena_);
    EXPECT_EQ(registers()[kRegionConfig], 3U);
    registers()[kStatus] = 1U << 5;
    registers()[0x1A0] = 1000;
    registers()[0x1A4] = 1;
    registers()[0x300] = 900;
    registers()[0x30C] = 77;
    return true;
  };
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(counters_.total_cycles, (std::uint64_t{1} << 32) + 1000);
  EXPECT_EQ(counters_.active_cycles, 900U);
  EXPECT_EQ(counters_.axi1_read_beats, 77U);
}

TEST_F(EthosU55Test, WeightsInSramTravelOverTheSramPort) {
  job_.weights_in_sram = true;
  EXPECT_EQ(run_ending_with(1U << 5), Error::kNone);
  EXPECT_EQ(registers()[kRegionConfig] & 3U, 1U);
}

TEST_F(EthosU55Test, EveryBadEndHasItsError) {
  EXPECT_EQ(run_ending_with(1U << 2), Error::kNpuBusFault);
  EXPECT_EQ(run_ending_with(1U << 8 | 1U << 5), Error::kNpuBusFault);
  EXPECT_EQ(run_ending_with(1U << 4), Error::kNpuCommand);
  EXPECT_EQ(run_ending_with(1U << 7 | 1U << 5), Error::kNpuWeights);
  EXPECT_EQ(run_ending_with(0), Error::kNpuCommand);
}

TEST_F(EthosU55Test, SilenceIsATimeout) { EXPECT_EQ(run().error, Error::kNpuTimeout); }

TEST_F(EthosU55Test, ALateInterruptDoesNotEndTheNextJob) {
  fake::raise_npu_interrupt();
  EXPECT_EQ(run().error, Error::kNpuTimeout);
}

TEST_F(EthosU55Test, TheNpuIsResetAfterAFaultAndNotAfterAGoodJob) {
  constexpr std::uint32_t kNoReset = 0xFFFF;
  registers()[kReset] = kNoReset;
  EXPECT_EQ(run_ending_with(kStatusCommandEnd), Error::kNone);
  EXPECT_EQ(registers()[kReset], kNoReset);
  EXPECT_EQ(run_ending_with(kStatusBusFault), Error::kNpuBusFault);
  EXPECT_NE(registers()[kReset], kNoReset);
  registers()[kReset] = kNoReset;
  fake::platform().on_run = [] { return false; };
  EXPECT_EQ(run().error, Error::kNpuTimeout);
  EXPECT_NE(registers()[kReset], kNoReset);
}

TEST_F(EthosU55Test, TheArenaIsCleanedBeforeAndInvalidatedAfterAJob) {
  fake::platform().on_run = [] {
    EXPECT_EQ(fake::platform().cache_log.size(), 1U);
    return true;
  };
  (void)run();
  const auto& log = fake::platform().cache_log;
  ASSERT_EQ(log.size(), 2U);
  EXPECT_EQ(log[0].name + " " + log[1].name, "clean invalidate");
  for (const auto& operation : log) {
    EXPECT_EQ(operation.data, arena_);
    EXPECT_EQ(operation.bytes, sizeof arena_);
  }
}

TEST_F(EthosU55Test, CommandsKeepClockAndPowerGating) {
  const std::uint32_t kClockAndPower = 0xC;
  bool ran = false;
  fake::platform().on_run = [this, &ran, kClockAndPower] {
    EXPECT_EQ(registers()[kCommand] & kClockAndPower, kClockAndPower);
    ran = true;
    return true;
  };
  (void)run();
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace enhancer
