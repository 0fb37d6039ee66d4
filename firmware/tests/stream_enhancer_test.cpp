#include "api/stream_enhancer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "fake_platform.h"
#include "model/container.h"
#include "package_builder.h"
#include "platform/platform.h"
#include "platform/services.h"

namespace enhancer {
namespace {

/// Answers every hop with one mask value.
class ConstantEngine final : public Engine {
 public:
  ConstantEngine(std::int32_t mask, TensorType type) : mask_(mask), type_(type) {}
  const char* name() const override { return "constant"; }
  bool accepts(const ModelPackage& /*package*/) const override { return true; }
  std::uint64_t arena_bytes(const ModelPackage& /*package*/) const override { return 0; }
  Status load(const ModelPackage& /*package*/, Span<std::uint8_t> /*arena*/) override {
    return kOk;
  }
  void reset_state() override { ++resets; }
  Span<std::uint8_t> input(std::size_t /*index*/) override { return features_; }
  void start() override { ++hops; }
  Status wait(std::uint64_t /*timeout_ticks*/, NpuCounters& /*counters*/) override {
    for (int tick = 0; tick < slowness; ++tick) {
      (void)platform::ticks();
    }
    for (std::size_t byte = 0; byte < sizeof stored_; ++byte) {
      const bool high = type_ == TensorType::kInt16 && byte % 2 == 1;
      stored_[byte] = static_cast<std::uint8_t>(high ? mask_ >> 8 : mask_);
    }
    return kOk;
  }
  Span<const std::uint8_t> output(std::size_t /*index*/) override { return Span(stored_); }
  Span<const std::uint8_t> gate() override { return Span(share_); }
  MemoryUse memory_use() const override { return {}; }

  void set_share(std::uint8_t stored) { share_[0] = stored; }

  int resets = 0;
  int hops = 0;
  int slowness = 0;  ///< In hundreds of ticks, of a CPU that nobody can stop.

 private:
  std::int32_t mask_;
  TensorType type_;
  std::uint8_t features_[kMaxBandBytes] = {};
  std::uint8_t stored_[kMaxBandBytes] = {};
  std::uint8_t share_[1] = {};
};

class StreamEnhancerTest : public testing::Test {
 protected:
  void SetUp() override { use(fake::PackageParts()); }
  void use(const fake::PackageParts& parts) {
    fake::reset();
    fake::platform().model = parts.build();
    ASSERT_TRUE(parse_package(platform::model_memory(), package_).ok());
  }
  /// Largest deviation from `gain` times the input, one hop late.
  float deviation(ConstantEngine& engine, float gain) {
    stream_.start(engine, package_, Schedule::kAtOnce);
    std::vector<float> before(kHopSamples, 0.0F);
    float worst = 0;
    for (int index = 0; index < 8; ++index) {
      std::vector<float> in(kHopSamples);
      for (std::size_t n = 0; n < kHopSamples; ++n) {
        in[n] = std::sin(static_cast<float>(index * 256 + static_cast<int>(n)) * 0.05F);
      }
      float out[kHopSamples];
      HopCost cost;
      EXPECT_TRUE(stream_.process({in.data(), in.size()}, out, cost).ok());
      for (std::size_t n = 0; n < kHopSamples; ++n) {
        worst = std::max(worst, std::fabs(out[n] - gain * before[n]));
      }
      before = in;
    }
    return worst;
  }

  ModelPackage package_;
  StreamEnhancer stream_;
};

TEST_F(StreamEnhancerTest, FullMaskPassesAudioUnchanged) {
  ConstantEngine engine(127, TensorType::kInt8);
  EXPECT_LT(deviation(engine, 1.0F), 1e-6F);
  EXPECT_EQ(engine.resets, 1);
}

TEST_F(StreamEnhancerTest, EmptyMaskSilences) {
  ConstantEngine engine(-128, TensorType::kInt8);
  EXPECT_EQ(deviation(engine, 0.0F), 0.0F);
}

TEST_F(StreamEnhancerTest, SilenceGivesTheLowestFeatures) {
  ConstantEngine engine(0, TensorType::kInt8);
  stream_.start(engine, package_, Schedule::kAtOnce);
  const float silence[kHopSamples] = {};
  float out[kHopSamples];
  HopCost cost;
  ASSERT_TRUE(stream_.process(silence, out, cost).ok());
  // (0 - 0.5) * 2 = -1, in steps of 1/128.
  for (const std::uint8_t feature : stream_.features()) {
    EXPECT_EQ(feature, 0x80);
  }
}

TEST_F(StreamEnhancerTest, ConditionedFeaturesDoNotDependOnLevelAndOffset) {
  ConstantEngine engine(127, TensorType::kInt8);
  fake::PackageParts parts;
  const auto last_features = [&](float level, float offset) {
    use(parts);
    stream_.start(engine, package_, Schedule::kAtOnce);
    for (int index = 0; index < 200; ++index) {
      float in[kHopSamples];
      for (std::size_t n = 0; n < kHopSamples; ++n) {
        in[n] = offset + level * std::sin(static_cast<float>(index * 256 + static_cast<int>(n)));
      }
      float out[kHopSamples];
      HopCost cost;
      EXPECT_TRUE(stream_.process(in, out, cost).ok());
    }
    const Span<const std::uint8_t> features = stream_.features();
    return std::vector<std::uint8_t>(features.begin(), features.end());
  };
  EXPECT_NE(last_features(0.01F, 0), last_features(0.5F, 0));
  fake::patch(parts.sections[Section::kFrontEnd], offsetof(FrontEndHeader, conditioned), 1U);
  const std::vector<std::uint8_t> expected = last_features(0.01F, 0);
  for (const auto& [level, offset] : {std::pair{0.5F, 0.0F}, {0.013F, 0.0F}, {0.01F, 0.25F}}) {
    const std::vector<std::uint8_t> features = last_features(level, offset);
    for (std::size_t band = 0; band < features.size(); ++band) {
      EXPECT_NEAR(static_cast<std::int8_t>(features[band]),
                  static_cast<std::int8_t>(expected[band]), 4)
          << level << ' ' << offset << ' ' << band;
    }
  }
}

TEST_F(StreamEnhancerTest, TensorsMayHave16Bits) {
  fake::PackageParts parts;
  parts.widen_bands();
  use(parts);
  ConstantEngine engine(16384, TensorType::kInt16);
  EXPECT_LT(deviation(engine, 0.5F), 1e-6F);
  const float silence[kHopSamples] = {};
  float out[kHopSamples];
  HopCost cost;
  for (int hop = 0; hop < 2; ++hop) {
    ASSERT_TRUE(stream_.process(silence, out, cost).ok());
  }
  EXPECT_EQ(stream_.features().size(), 2 * fake::kBands);
  EXPECT_EQ(stream_.features()[0], 0x00);
  EXPECT_EQ(stream_.features()[1], 0x80);
}

/// A front end of finite numbers may still overflow: whatever comes out is an integer.
TEST_F(StreamEnhancerTest, ExtremeConstantsEndInIntegers) {
  constexpr std::size_t kExponent = 20;
  for (const float exponent : {1e30F, -1e30F, 3e38F}) {
    fake::PackageParts parts;
    fake::patch(parts.sections[Section::kFrontEnd], kExponent, exponent);
    fake::patch(parts.sections[Section::kTensors], 8, 1.2e-38F);
    use(parts);
    ConstantEngine engine(127, TensorType::kInt8);
    stream_.start(engine, package_, Schedule::kAtOnce);
    HopCost cost;
    for (const float sample : {0.0F, 1.0F, 3e38F}) {
      float hop[kHopSamples];
      std::fill(std::begin(hop), std::end(hop), sample);
      EXPECT_TRUE(stream_.process(hop, hop, cost).ok());
    }
  }
}

TEST_F(StreamEnhancerTest, MeasuresItsParts) {
  ConstantEngine engine(0, TensorType::kInt8);
  stream_.start(engine, package_, Schedule::kAtOnce);
  float hop[kHopSamples] = {};
  HopCost cost;
  ASSERT_TRUE(stream_.process(hop, hop, cost).ok());
  // One measurement of features and synthesis each; start and end of the inference are apart, and
  // its end looks at the clock too.
  EXPECT_EQ(cost.features_ticks, 100U);
  EXPECT_EQ(cost.inference_ticks, 300U);
  EXPECT_EQ(cost.synthesis_ticks, 100U);
}

TEST_F(StreamEnhancerTest, ANetworkOnTheCpuIsCountedWhereItIsLate) {
  ConstantEngine engine(127, TensorType::kInt8);
  stream_.start(engine, package_, Schedule::kAtOnce);
  stream_.set_deadline(2000);
  const float tone[kHopSamples] = {0.5F};
  float out[kHopSamples];
  HopCost cost;
  for (const int slowness : {0, 50, 0, 50, 50}) {
    engine.slowness = slowness;
    EXPECT_TRUE(stream_.process(tone, out, cost).ok());
    EXPECT_EQ(stream_.mask()[0], 127);
  }
  EXPECT_EQ(stream_.counts().hops, 5U);
  EXPECT_EQ(stream_.counts().late, 3U);
  stream_.start(engine, package_, Schedule::kAtOnce);
  EXPECT_EQ(stream_.counts().hops, 0U);
}

TEST_F(StreamEnhancerTest, AGateLetsHopsPassAndTheirMaskIsTheLast) {
  fake::PackageParts parts;
  fake::Bytes& tensors = parts.sections[Section::kTensors];
  const TensorRecord gate = {
      TensorRole::kGate, TensorType::kInt8, 0, 1, 1.0F / 256, -128, 8, 0, {}};
  tensors.resize(tensors.size() + sizeof gate);
  fake::patch(tensors, tensors.size() - sizeof gate, gate);
  use(parts);
  const std::pair<int, int> cases[] = {{255, 1}, {128, 1}, {127, 2}, {64, 2}, {63, 3},
                                       {43, 3},  {42, 4},  {1, 4},   {0, 4}};
  for (const Schedule schedule : {Schedule::kAtOnce, Schedule::kPipelined}) {
    for (const auto& [share, wait] : cases) {
      ConstantEngine engine(127, TensorType::kInt8);
      engine.set_share(static_cast<std::uint8_t>(share - 128));
      stream_.start(engine, package_, schedule);
      const float tone[kHopSamples] = {0.5F};
      float out[kHopSamples];
      HopCost cost;
      for (int hop = 0; hop < 12; ++hop) {
        ASSERT_TRUE(stream_.process(tone, out, cost).ok());
        // Hop after hop the mask is the same, whether it was computed or stayed.
        const bool is_due = schedule == Schedule::kAtOnce || hop > 0;
        EXPECT_EQ(stream_.mask()[0], is_due ? 127 : 0);
      }
      EXPECT_EQ(engine.hops, 12 / wait) << share;
    }
  }
}

}  // namespace
}  // namespace enhancer
