#include "engine/npu/npu_engine.h"

#include <gtest/gtest.h>

#include <cstring>

#include "fake_platform.h"
#include "model/container.h"
#include "package_builder.h"
#include "platform/services.h"

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
    return status.ok() ? engine_.load(package_, platform::npu_sram()) : status;
  }
  int hop() {
    const std::uint8_t features[fake::kBands] = {9, 1, 2, 3};
    std::memcpy(engine_.input(0).data(), features, sizeof features);
    NpuCounters counters;
    EXPECT_TRUE(engine_.infer(counters).ok());
    EXPECT_EQ(engine_.output(0)[3], 3);
    return engine_.output(0)[0];
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
  constexpr std::uint32_t kStates = 16;
  EXPECT_EQ(status.expected, fake::kArenaBytes + kStates);
  EXPECT_EQ(status.actual, 48U);
}

TEST_F(NpuEngineTest, VariablesStartAtTheirZeroPoint) {
  constexpr std::uint32_t kOffset = 56;
  fake::PackageParts parts;
  const TensorRecord variable = {
      TensorRole::kVariable, TensorType::kInt8, 0, 4, 0.1F, 7, kOffset, 0, {}};
  fake::Bytes& tensors = parts.sections[Section::kTensors];
  tensors.resize(tensors.size() + sizeof variable);
  fake::patch(tensors, tensors.size() - sizeof variable, variable);
  ASSERT_TRUE(load(parts).ok());
  std::memset(platform::npu_sram().data(), 0xEE, fake::kArenaBytes);
  engine_.reset_state();
  for (std::size_t byte = 0; byte < 4; ++byte) {
    EXPECT_EQ(platform::npu_sram()[kOffset + byte], 7);
  }
}

TEST_F(NpuEngineTest, RefusesTheWrongNpu) {
  fake::platform().npu_registers[0x028] = 0x3008;
  EXPECT_EQ(load({}).error, Error::kNpuConfiguration);
}

}  // namespace
}  // namespace enhancer
