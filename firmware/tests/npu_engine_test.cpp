#include "engine/npu/npu_engine.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "fake_platform.h"
#include "model/container.h"
#include "model/packed_weights.h"
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
    return status.ok() ? engine_.load(package_, platform::arena_memory()) : status;
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
  EXPECT_EQ(platform::arena_memory()[0], 7);
  ASSERT_EQ(fake::platform().cache_log.size(), 1U);
  EXPECT_EQ(fake::platform().cache_log[0].name, "clean");
  EXPECT_EQ(fake::platform().cache_log[0].data, platform::arena_memory().data());
  engine_.reset_state();
  hop();
  EXPECT_EQ(fake::npu_pointer(0x080), platform::arena_memory().data());
  EXPECT_EQ(fake::npu_pointer(0x088), platform::arena_memory().data() + 48);
}

/// The weights of the other tests, 48 bytes of 7, as pipeline/boards/packed_weights.py packs them:
/// 20 bytes, two scale records, 8 bytes.
fake::PackageParts packed_parts() {
  fake::PackageParts parts;
  fake::patch<std::uint32_t>(parts.sections[Section::kNpuJob], 12, 1);
  parts.sections.erase(Section::kNpuWeights);
  parts.sections[Section::kPackedWeights] = {
      0x30, 0x00, 0x00, 0x00, 0x52, 0x3F, 0x07, 0x73, 0x03, 0x00, 0x00, 0x00, 0x50, 0x00, 0x00,
      0x00, 0x51, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0xF8, 0xFF, 0xF7, 0xFF, 0xFF, 0xFF,
      0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x6C, 0x58, 0x05, 0x6C, 0x45, 0xDA, 0x22,
      0xAE, 0xF1, 0xAA, 0x85, 0x07, 0x7E, 0x40, 0x84, 0x55, 0x62, 0xAD, 0x70, 0xCA, 0x04, 0xE4};
  return parts;
}

TEST_F(NpuEngineTest, UnpacksWeights) {
  fake::platform().npu_sram_bytes = 48 + sizeof(WeightsUnpacker) + 16 + 16;
  ASSERT_TRUE(load(packed_parts()).ok());
  EXPECT_TRUE(engine_.memory_use().weights_in_sram);
  EXPECT_EQ(engine_.memory_use().weights_bytes, 48U);
  for (std::size_t byte = 0; byte < 48; ++byte) {
    EXPECT_EQ(platform::arena_memory()[byte], 7) << byte;
  }
  EXPECT_EQ(fake::platform().cache_log.size(), 1U);
  engine_.reset_state();
  EXPECT_EQ(hop(), 1);
  EXPECT_EQ(fake::npu_pointer(0x088), platform::arena_memory().data() + 48);
  fake::platform().npu_sram_bytes = 48 + sizeof(WeightsUnpacker);
  EXPECT_EQ(load(packed_parts()).error, Error::kArenaTooSmall);
}

TEST_F(NpuEngineTest, RefusesPackedWeightsThatAreDamagedOrHaveNoPlace) {
  const fake::PackageParts sound = packed_parts();
  // The last bytes only end the code.
  const std::size_t code = sound.sections.at(Section::kPackedWeights).size() - 4;
  for (std::size_t byte = 24; byte < code; ++byte) {
    fake::PackageParts damaged = packed_parts();
    damaged.sections[Section::kPackedWeights][byte] ^= 0x10;
    EXPECT_FALSE(load(damaged).ok()) << byte;
  }
  fake::PackageParts cut = packed_parts();
  cut.sections[Section::kPackedWeights].pop_back();
  EXPECT_EQ(load(cut).error, Error::kPackageMalformed);
  fake::PackageParts in_flash = packed_parts();
  fake::patch<std::uint32_t>(in_flash.sections[Section::kNpuJob], 12, 0);
  EXPECT_EQ(load(in_flash).error, Error::kPackageMalformed);
  fake::PackageParts both = packed_parts();
  both.sections[Section::kNpuWeights] = fake::Bytes(48, 7);
  EXPECT_EQ(load(both).error, Error::kPackageMalformed);
}

TEST(Arena, SaysThatItIsTooSmallForWhatDoesNotEvenHaveAnAddress) {
  alignas(16) std::uint8_t memory[64];
  Arena arena(memory);
  EXPECT_EQ(arena.take((std::uint64_t{1} << 32) + 8).data(), nullptr);
  EXPECT_EQ(arena.status().error, Error::kArenaTooSmall);
  EXPECT_EQ(arena.status().expected, UINT32_MAX);
  EXPECT_EQ(arena.status().actual, 64U);
}

TEST_F(NpuEngineTest, RefusesAnArenaThatDoesNotFit) {
  fake::platform().npu_sram_bytes = 48;
  const Status status = load({});
  EXPECT_EQ(status.error, Error::kArenaTooSmall);
  constexpr std::uint32_t kStates = 16;
  EXPECT_EQ(status.expected, fake::kArenaBytes + kStates);
  EXPECT_EQ(status.actual, 48U);
}

constexpr std::uint32_t kPastOffset = 4;
constexpr std::uint32_t kFrameOffset = 20;
constexpr std::uint32_t kPastFramesOffset = 52;

/// Two inputs hold earlier frames: features of 2 hops and of 1 hop ago, and of an output of two
/// rows of two bytes what it was 1 and 3 hops ago, side by side in each row.
fake::PackageParts parts_with_delays() {
  fake::PackageParts parts;
  fake::Bytes& tensors = parts.sections[Section::kTensors];
  const auto add = [&tensors](TensorRole role, std::uint16_t index, std::uint32_t bytes,
                              std::uint32_t offset) {
    const TensorRecord record = {role, TensorType::kInt8, index, bytes, 0.1F, -5, offset, 0, {}};
    tensors.resize(tensors.size() + sizeof record);
    fake::patch(tensors, tensors.size() - sizeof record, record);
  };
  add(TensorRole::kDelayedIn, 0, 2 * fake::kBands, kPastOffset);
  add(TensorRole::kDelayedIn, 1, 8, kPastFramesOffset);
  add(TensorRole::kFrameOut, 0, 4, kFrameOffset);
  fake::Bytes& delays = parts.sections[Section::kDelays];
  delays.resize(4 * sizeof(DelayedFrame));
  fake::patch(delays, 0, DelayedFrame{0, 0, 2, 0, fake::kBands});
  fake::patch(delays, 16, DelayedFrame{0, 0, 1, fake::kBands, fake::kBands});
  fake::patch(delays, 32, DelayedFrame{1, 1, 1, 0, 2});
  fake::patch(delays, 48, DelayedFrame{1, 1, 3, 2, 2});
  return parts;
}

TEST_F(NpuEngineTest, EarlierFramesReachTheirInputs) {
  ASSERT_TRUE(load(parts_with_delays()).ok());
  std::vector<std::vector<int>> seen;
  int hops = 0;
  fake::platform().on_run = [&] {
    const auto* arena = static_cast<const std::int8_t*>(fake::npu_pointer(0x088));
    std::vector<int> inputs(arena + kPastOffset, arena + kPastOffset + 8);
    inputs.insert(inputs.end(), arena + kPastFramesOffset, arena + kPastFramesOffset + 8);
    seen.push_back(inputs);
    auto* frame = static_cast<std::uint8_t*>(fake::npu_pointer(0x088)) + kFrameOffset;
    for (int byte = 0; byte < 4; ++byte) {
      frame[byte] = static_cast<std::uint8_t>(10 * hops + byte);
    }
    ++hops;
    fake::platform().npu_registers[0x004] = 1U << 5;
    return true;
  };
  const auto run_hops = [this] {
    engine_.reset_state();
    for (std::uint8_t hop = 0; hop < 5; ++hop) {
      for (std::uint8_t band = 0; band < fake::kBands; ++band) {
        engine_.input(0)[band] = static_cast<std::uint8_t>(16 * hop + band);
      }
      NpuCounters counters;
      ASSERT_TRUE(engine_.infer(counters).ok());
    }
  };
  run_hops();
  EXPECT_EQ(seen[0], (std::vector<int>{0, 0, 0, 0, 0, 0, 0, 0, -5, -5, -5, -5, -5, -5, -5, -5}));
  EXPECT_EQ(seen[1], (std::vector<int>{0, 0, 0, 0, 0, 1, 2, 3, 0, 1, -5, -5, 2, 3, -5, -5}));
  EXPECT_EQ(seen[4],
            (std::vector<int>{32, 33, 34, 35, 48, 49, 50, 51, 30, 31, 10, 11, 32, 33, 12, 13}));
  const std::vector<std::vector<int>> first = seen;
  seen.clear();
  hops = 0;
  run_hops();
  EXPECT_EQ(seen, first);
}

TEST_F(NpuEngineTest, AHopThatIsRepeatedAfterAFaultKeepsTheEarlierFrames) {
  ASSERT_TRUE(load(parts_with_delays()).ok());
  bool fails = false;
  std::vector<int> past;
  fake::platform().on_run = [&] {
    const auto* arena = static_cast<const std::uint8_t*>(fake::npu_pointer(0x088));
    past.assign(arena + kPastOffset, arena + kPastOffset + 8);
    fake::platform().npu_registers[0x004] = fails ? 1U << 2 : 1U << 5;
    return true;
  };
  engine_.reset_state();
  NpuCounters counters;
  const auto hop = [&](std::uint8_t value) {
    std::memset(engine_.input(0).data(), value, fake::kBands);
    return engine_.infer(counters).ok();
  };
  EXPECT_TRUE(hop(1));
  EXPECT_TRUE(hop(2));
  fails = true;
  EXPECT_FALSE(hop(3));
  EXPECT_FALSE(hop(3));
  fails = false;
  EXPECT_TRUE(hop(3));
  EXPECT_EQ(past, (std::vector<int>{1, 1, 1, 1, 2, 2, 2, 2}));
  EXPECT_TRUE(hop(4));
  EXPECT_EQ(past, (std::vector<int>{2, 2, 2, 2, 3, 3, 3, 3}));
}

TEST_F(NpuEngineTest, RefusesDelaysThatDoNotFit) {
  const struct {
    std::size_t offset;
    std::uint32_t value;
  } flaws[] = {{0, 2}, {0, 2U << 16}, {4, 0},  {4, 1025},
               {8, 5}, {12, 3},       {12, 0}, {32, 0x00010000}};
  for (const auto& flaw : flaws) {
    fake::PackageParts parts = parts_with_delays();
    fake::patch(parts.sections[Section::kDelays], flaw.offset, flaw.value);
    EXPECT_EQ(load(parts).error, Error::kPackageMalformed) << flaw.offset << " " << flaw.value;
  }
  fake::PackageParts without = parts_with_delays();
  without.sections.erase(Section::kDelays);
  EXPECT_EQ(load(without).error, Error::kPackageMalformed);
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
  std::memset(platform::arena_memory().data(), 0xEE, fake::kArenaBytes);
  engine_.reset_state();
  for (std::size_t byte = 0; byte < 4; ++byte) {
    EXPECT_EQ(platform::arena_memory()[kOffset + byte], 7);
  }
}

TEST_F(NpuEngineTest, RefusesTheWrongNpu) {
  fake::platform().npu_registers[0x028] = 0x3008;
  EXPECT_EQ(load({}).error, Error::kNpuConfiguration);
}

}  // namespace
}  // namespace enhancer
