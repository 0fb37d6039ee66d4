#include "engine/npu/npu_engine.h"

#include <gtest/gtest.h>

#include <cstring>

#include "fake_platform.h"
#include "model/container.h"
#include "package_builder.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

/// A network that copies features to mask and adds one to each state element.
bool counting_network() {
  auto* arena = static_cast<std::uint8_t*>(fake::npu_pointer(0x088));
  std::memcpy(arena + fake::kMaskOffset, arena + fake::kFeaturesOffset, fake::kBands);
  std::int16_t state[2];
  std::memcpy(state, arena + fake::kStateInOffset, sizeof state);
  ++state[0];
  state[1] = static_cast<std::int16_t>(state[1] - 1);
  std::memcpy(arena + fake::kStateOutOffset, state, sizeof state);
  std::memset(arena + fake::kStateInOffset, 0xEE, sizeof state);  // The arena is reused.
  arena[fake::kMaskOffset] = static_cast<std::uint8_t>(state[0]);
  fake::platform().npu_registers[0x004] = 1U << 5;
  return true;
}

class NpuEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    fake::reset();
    fake::platform().on_run = counting_network;
  }
  Status load(const fake::PackageParts& parts) {
    fake::platform().model = parts.build();
    const Status status = parse_package(platform::model_memory(), package_);
    return status.ok() ? engine_.load(package_) : status;
  }
  int hop() {
    const std::uint8_t features[fake::kBands] = {9, 1, 2, 3};
    std::uint8_t mask[fake::kBands] = {};
    NpuCounters counters;
    EXPECT_TRUE(engine_.infer(features, mask, counters).ok());
    EXPECT_EQ(mask[3], 3);
    return mask[0];
  }

  ModelPackage package_;
  NpuEngine engine_;
};

TEST_F(NpuEngineTest, CarriesStateFromHopToHop) {
  ASSERT_TRUE(load({}).ok());
  engine_.reset_state();
  EXPECT_EQ(hop(), 1);
  EXPECT_EQ(hop(), 2);
  engine_.reset_state();
  EXPECT_EQ(hop(), 1);
}

TEST_F(NpuEngineTest, LeavesWeightsInPlaceOrCopiesThem) {
  ASSERT_TRUE(load({}).ok());
  EXPECT_FALSE(engine_.memory_use().weights_in_sram);
  fake::PackageParts parts;
  fake::patch<std::uint32_t>(parts.sections[Section::kNpuJob], 12, 1);
  ASSERT_TRUE(load(parts).ok());
  EXPECT_TRUE(engine_.memory_use().weights_in_sram);
  EXPECT_EQ(platform::npu_sram()[0], 7);
  engine_.reset_state();
  hop();
  EXPECT_EQ(fake::npu_pointer(0x080), platform::npu_sram().data());
  EXPECT_EQ(fake::npu_pointer(0x088), platform::npu_sram().data() + 48);
}

TEST_F(NpuEngineTest, RefusesAnArenaThatDoesNotFit) {
  fake::platform().npu_sram_bytes = 48;
  const Status status = load({});
  EXPECT_EQ(status.error, Error::kArenaTooSmall);
  EXPECT_EQ(status.expected, fake::kArenaBytes);
  EXPECT_EQ(status.actual, 48U);
}

TEST_F(NpuEngineTest, RefusesTheWrongNpu) {
  fake::platform().npu_registers[0x028] = 0x3008;
  EXPECT_EQ(load({}).error, Error::kNpuConfiguration);
}

}  // namespace
}  // namespace enhancer
