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
    NpuCounters counters;
    return ethos_u55::run(job_, counters).error;
  }

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
  registers()[kId] = 0;
  EXPECT_EQ(ethos_u55::probe(fake::kArchitecture, fake::kConfig).error, Error::kNpuAbsent);
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
  NpuCounters counters;
  ASSERT_TRUE(ethos_u55::run(job_, counters).ok());
  EXPECT_EQ(counters.total_cycles, (std::uint64_t{1} << 32) + 1000);
  EXPECT_EQ(counters.active_cycles, 900U);
  EXPECT_EQ(counters.axi1_read_beats, 77U);
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
  EXPECT_EQ(run_ending_with(0), Error::kNpuCommand);
}

TEST_F(EthosU55Test, SilenceIsATimeout) {
  NpuCounters counters;
  EXPECT_EQ(ethos_u55::run(job_, counters).error, Error::kNpuTimeout);
}

}  // namespace
}  // namespace enhancer
