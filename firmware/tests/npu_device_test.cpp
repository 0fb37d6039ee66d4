#include "npu_device.h"

#include <gtest/gtest.h>

#include "platform/ethos_u55_registers.h"

namespace {

using namespace enhancer::ethos_u55;

/// The register file of the virtual NPU; what computes jobs is tested in Python.
class NpuDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    npu_machine machine = {};
    machine.set_interrupt = [](void*, bool) {};
    ASSERT_TRUE(npu_device_init(&npu_, &machine, &jobs_, 128));
  }
  std::uint32_t read(std::uint32_t offset) const { return npu_device_read(&npu_, offset); }
  void write(std::uint32_t offset, std::uint32_t value) { npu_device_write(&npu_, offset, value); }

  job_channel jobs_ = {-1};
  npu_device npu_ = {};
};

TEST_F(NpuDeviceTest, AResetClearsCountersAndSetsClockAndPowerGating) {
  constexpr std::uint32_t kCounters[] = {kPmuCycleLow, kPmuCycleHigh, kPmuCounter0,
                                         kPmuCounter0 + 12};
  const std::uint32_t id = read(kId);
  const std::uint32_t config = read(kConfig);
  write(kPmuControl, 1);
  write(kPmuEnableSet, 0x8000000F);
  for (const std::uint32_t counter : kCounters) {
    write(counter, 7);
    EXPECT_EQ(read(counter), 7U);
  }
  write(kCommand, 0);
  EXPECT_EQ(read(kCommand) & kCommandGating, 0U);
  write(kReset, 1);
  for (const std::uint32_t counter : kCounters) {
    EXPECT_EQ(read(counter), 0U);
  }
  EXPECT_EQ(read(kPmuControl) & 1U, 0U);
  EXPECT_EQ(read(kPmuEnableSet), 0U);
  EXPECT_EQ(read(kCommand) & kCommandGating, kCommandGating);
  EXPECT_EQ(read(kProtection), 1U);
  EXPECT_EQ(read(kId), id);
  EXPECT_EQ(read(kConfig), config);
}

TEST_F(NpuDeviceTest, AWriteToTheCommandRegisterReplacesTheGatingBits) {
  write(kCommand, kCommandClearInterrupt);
  EXPECT_EQ(read(kCommand), 0U);
  write(kCommand, kCommandGating | kCommandClearInterrupt);
  EXPECT_EQ(read(kCommand), kCommandGating);
}

TEST_F(NpuDeviceTest, CountersAreClearedByTheirControlRegister) {
  write(kPmuCycleLow, 5);
  write(kPmuCounter0, 6);
  write(kPmuControl, 3);
  EXPECT_EQ(read(kPmuCycleLow), 5U);
  EXPECT_EQ(read(kPmuCounter0), 0U);
  write(kPmuControl, 5);
  EXPECT_EQ(read(kPmuCycleLow), 0U);
  write(kPmuEnableSet, 0xF);
  write(kPmuEnableClear, 0x5);
  EXPECT_EQ(read(kPmuEnableSet), 0xAU);
}

TEST_F(NpuDeviceTest, WhatTheHardwareSaysCannotBeWritten) {
  for (const std::uint32_t offset : {kId, kStatus, kProtection, kConfig}) {
    const std::uint32_t before = read(offset);
    write(offset, ~before);
    EXPECT_EQ(read(offset), before) << offset;
  }
  write(NPU_DEVICE_BYTES, 1);
  EXPECT_EQ(read(NPU_DEVICE_BYTES), 0U);
}

TEST_F(NpuDeviceTest, WithoutAModelAJobEndsInABusFault) {
  write(kCommand, kCommandGating | kCommandRun);
  EXPECT_NE(read(kStatus) & kStatusBusFault, 0U);
}

}  // namespace
