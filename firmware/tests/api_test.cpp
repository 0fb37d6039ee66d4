#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "api/enhancer.h"
#include "api/stream_enhancer.h"
#include "base/saturate.h"
#include "base/status.h"
#include "engine/npu/npu_engine.h"
#include "examples/microphone_loop.h"
#include "fake_platform.h"
#include "model/container.h"
#include "package_builder.h"
#include "platform/platform.h"

namespace enhancer {
namespace {

using Hop = std::vector<std::int16_t>;

/// A network whose mask is its features.
bool echo_network() {
  auto* arena = static_cast<std::uint8_t*>(fake::npu_pointer(0x088));
  std::memcpy(arena + fake::kMaskOffset, arena + fake::kFeaturesOffset, fake::kBands);
  fake::platform().npu_registers[0x004] = 1U << 5;
  return true;
}

Hop tone(int index) {
  Hop hop(ENHANCER_HOP_SAMPLES);
  for (std::size_t n = 0; n < hop.size(); ++n) {
    const auto time = static_cast<double>(index * ENHANCER_HOP_SAMPLES + static_cast<int>(n));
    hop[n] = static_cast<std::int16_t>(std::lround(9000 * std::sin(time * 0.1)));
  }
  return hop;
}

class ApiTest : public testing::Test {
 protected:
  void SetUp() override {
    fake::reset();
    fake::platform().on_run = echo_network;
    set_package(fake::PackageParts());
  }
  void set_package(const fake::PackageParts& parts) {
    const fake::Bytes content = parts.build();
    package_.assign((content.size() + 15) / 16, {});
    std::memcpy(package_.data(), content.data(), content.size());
    package_bytes_ = content.size();
  }
  Error init(std::size_t arena_bytes) {
    return static_cast<Error>(
        enhancer_init(&instance_, package_.data(), package_bytes_, arena_, arena_bytes));
  }
  enhancer_counts counts() const {
    enhancer_counts counts = {};
    enhancer_get_counts(&instance_, &counts);
    return counts;
  }
  Hop process(const Hop& in) {
    Hop out(in.size());
    EXPECT_EQ(enhancer_process(&instance_, in.data(), out.data()), 0);
    return out;
  }

  struct alignas(ENHANCER_ALIGNMENT) Block {
    std::uint8_t bytes[ENHANCER_ALIGNMENT];
  };
  std::vector<Block> package_;
  std::size_t package_bytes_ = 0;
  alignas(ENHANCER_ALIGNMENT) std::uint8_t arena_[4096] = {};
  enhancer_instance instance_ = {};
};

TEST_F(ApiTest, TheArenaIsExactlyAsLargeAsItSays) {
  for (const std::uint32_t placement : {0U, 1U}) {
    fake::PackageParts parts;
    fake::patch(parts.sections[Section::kNpuJob], 12, placement);
    set_package(parts);
    std::size_t bytes = 0;
    ASSERT_EQ(enhancer_arena_bytes(package_.data(), package_bytes_, &bytes), 0);
    EXPECT_EQ(bytes, fake::kArenaBytes + 16 + placement * 48);
    EXPECT_EQ(init(bytes), Error::kNone);
    EXPECT_EQ(init(bytes - 1), Error::kArenaTooSmall);
  }
}

TEST_F(ApiTest, EnhancesAsTheClassUnderIt) {
  ModelPackage package;
  const auto* content = reinterpret_cast<const std::uint8_t*>(package_.data());
  ASSERT_TRUE(parse_package({content, package_bytes_}, package).ok());
  alignas(16) std::uint8_t arena[4096];
  NpuEngine engine;
  ASSERT_TRUE(engine.load(package, arena).ok());
  StreamEnhancer stream;
  stream.start(engine, package, Schedule::kAtOnce);
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  for (int index = 0; index < 6; ++index) {
    const Hop noisy = tone(index);
    float hop[kHopSamples];
    for (std::size_t n = 0; n < kHopSamples; ++n) {
      hop[n] = static_cast<float>(noisy[n]) / 32768.0F;
    }
    HopCost cost;
    ASSERT_TRUE(stream.process(hop, hop, cost).ok());
    const Hop enhanced = process(noisy);
    for (std::size_t n = 0; n < kHopSamples; ++n) {
      EXPECT_EQ(enhanced[n], saturate<std::int16_t>(hop[n] * 32768.0F));
    }
  }
}

TEST_F(ApiTest, ResetForgetsAllAudio) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  const Hop first = process(tone(0));
  const Hop second = process(tone(1));
  enhancer_reset(&instance_);
  EXPECT_EQ(process(tone(0)), first);
  EXPECT_EQ(process(tone(1)), second);
}

TEST_F(ApiTest, InputAndOutputMayBeTheSame) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  process(tone(0));
  const Hop expected = process(tone(1));
  enhancer_reset(&instance_);
  process(tone(0));
  Hop hop = tone(1);
  EXPECT_EQ(enhancer_process(&instance_, hop.data(), hop.data()), 0);
  EXPECT_EQ(hop, expected);
}

TEST_F(ApiTest, RefusesWhatItCannotRun) {
  std::size_t bytes = 1;
  EXPECT_STREQ(enhancer_status_name(enhancer_arena_bytes(package_.data(), 8, &bytes)),
               "package_missing");
  EXPECT_EQ(bytes, 0U);
  fake::PackageParts plain;
  plain.sections.erase(Section::kFrontEnd);
  set_package(plain);
  EXPECT_EQ(init(sizeof arena_), Error::kPackageNoFrontEnd);
  fake::PackageParts without_npu;
  for (const auto kind : {Section::kNpuJob, Section::kNpuStream, Section::kNpuWeights}) {
    without_npu.sections.erase(kind);
  }
  set_package(without_npu);
  EXPECT_EQ(init(sizeof arena_), Error::kPackageNoEngine);
}

TEST_F(ApiTest, RefusesMemoryThatDoesNotBeginWhereItHasTo) {
  auto* shifted = reinterpret_cast<std::uint8_t*>(package_.data());
  std::size_t bytes = 1;
  for (const std::size_t excess : {1U, 4U, 8U}) {
    EXPECT_STREQ(enhancer_status_name(enhancer_arena_bytes(shifted + excess, 64, &bytes)),
                 "memory_misaligned");
    EXPECT_STREQ(enhancer_status_name(enhancer_init(&instance_, package_.data(), package_bytes_,
                                                    arena_ + excess, sizeof arena_ - excess)),
                 "memory_misaligned");
  }
  EXPECT_EQ(bytes, 0U);
}

TEST_F(ApiTest, WithoutAModelAudioPassesThroughAsItIs) {
  ASSERT_EQ(init(8), Error::kArenaTooSmall);
  enhancer_set_schedule(&instance_, ENHANCER_PIPELINED);
  enhancer_reset(&instance_);
  const Hop noisy = tone(1);
  Hop out(noisy.size());
  EXPECT_STREQ(enhancer_status_name(enhancer_process(&instance_, noisy.data(), out.data())),
               "arena_too_small");
  EXPECT_EQ(out, noisy);
  EXPECT_EQ(counts().hops, 0U);
}

TEST_F(ApiTest, EveryStatusHasAName) {
  EXPECT_STREQ(enhancer_status_name(0), "none");
  EXPECT_STREQ(enhancer_status_name(41), "memory_misaligned");
  for (const int status : {-1, 1, 255, 256 + 36, 1 << 24}) {
    EXPECT_STREQ(enhancer_status_name(status), "unknown") << status;
  }
}

TEST_F(ApiTest, AFailedHopComesOutAsItWentInInStepWithTheOthers) {
  for (const auto schedule : {ENHANCER_AT_ONCE, ENHANCER_PIPELINED}) {
    ASSERT_EQ(init(sizeof arena_), Error::kNone);
    enhancer_set_schedule(&instance_, schedule);
    const int latency = schedule == ENHANCER_PIPELINED ? 2 : 1;
    // What the network returns is what it was given, unless it fails.
    bool fails = false;
    fake::platform().on_run = [&fails] {
      auto* arena = static_cast<std::uint8_t*>(fake::npu_pointer(0x088));
      std::memset(arena + fake::kMaskOffset, 127, fake::kBands);
      fake::platform().npu_registers[0x004] = fails ? 1U << 2 : 1U << 5;
      return true;
    };
    int failures = 0;
    for (int index = 0; index < 12; ++index) {
      fails = index % 4 == 3 || index == 6;
      const Hop noisy = tone(index);
      Hop out(noisy.size());
      const enhancer_status status = enhancer_process(&instance_, noisy.data(), out.data());
      failures += status == 0 ? 0 : 1;
      EXPECT_STREQ(enhancer_status_name(status), status == 0 ? "none" : "npu_bus_fault");
      const Hop expected = index < latency ? Hop(noisy.size()) : tone(index - latency);
      for (std::size_t n = 0; n < out.size(); ++n) {
        ASSERT_NEAR(out[n], expected[n], 1) << index << " " << n;
      }
    }
    EXPECT_GT(failures, 0);
    EXPECT_EQ(counts().hops, 12U);
    EXPECT_EQ(counts().failed, static_cast<std::uint32_t>(failures));
    EXPECT_EQ(counts().late, 0U);
  }
}

TEST_F(ApiTest, AHopThatIsLateIsGivenUpAndPassedThrough) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  constexpr std::uint32_t kDeadlineUs = 5000;
  enhancer_set_deadline(&instance_, kDeadlineUs);
  int runs = 0;
  fake::platform().on_run = [&runs] {
    ++runs;
    return false;
  };
  for (int index = 0; index < 3; ++index) {
    const Hop noisy = tone(index);
    Hop out(noisy.size());
    const std::uint64_t start = platform::ticks();
    EXPECT_STREQ(enhancer_status_name(enhancer_process(&instance_, noisy.data(), out.data())),
                 "npu_timeout");
    const std::uint64_t ticks = platform::ticks() - start;
    EXPECT_GE(ticks, kDeadlineUs);
    EXPECT_LT(ticks, 2 * kDeadlineUs);
    for (std::size_t n = 0; n < out.size(); ++n) {
      ASSERT_NEAR(out[n], index == 0 ? 0 : tone(index - 1)[n], 1);
    }
  }
  // There is no time for a second attempt.
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(counts().late, 3U);
  EXPECT_EQ(counts().retried + counts().failed, 0U);
  fake::platform().on_run = echo_network;
  process(tone(3));
  EXPECT_EQ(counts().late, 3U);
  EXPECT_EQ(counts().hops, 4U);
}

TEST_F(ApiTest, AFaultWithoutTimeLeftIsNotRunAgain) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  enhancer_set_deadline(&instance_, 0);
  fake::platform().on_run = [] {
    fake::platform().npu_registers[0x004] = 1U << 2;
    return true;
  };
  Hop hop = tone(0);
  EXPECT_STREQ(enhancer_status_name(enhancer_process(&instance_, hop.data(), hop.data())),
               "npu_bus_fault");
  EXPECT_EQ(counts().retried, 0U);
  EXPECT_EQ(counts().failed, 1U);
}

TEST_F(ApiTest, AFaultIsForgottenIfTheSecondAttemptSucceeds) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  const Hop first = process(tone(0));
  const Hop second = process(tone(1));
  enhancer_reset(&instance_);
  int runs = 0;
  fake::platform().on_run = [&runs] {
    if (++runs % 2 == 0) {
      return echo_network();
    }
    std::memset(fake::npu_pointer(0x088), 0xEE, fake::kArenaBytes);
    fake::platform().npu_registers[0x004] = 1U << 2;
    return true;
  };
  EXPECT_EQ(process(tone(0)), first);
  EXPECT_EQ(process(tone(1)), second);
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(counts().retried, 2U);
  EXPECT_EQ(counts().failed + counts().late, 0U);
}

TEST_F(ApiTest, PipelinedAudioIsTheSameOneHopLater) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  std::vector<Hop> expected;
  for (int index = 0; index < 6; ++index) {
    expected.push_back(process(tone(index)));
  }
  enhancer_set_schedule(&instance_, ENHANCER_PIPELINED);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(process(tone(0)), Hop(kHopSamples));
    for (int index = 1; index < 6; ++index) {
      EXPECT_EQ(process(tone(index)), expected[static_cast<std::size_t>(index - 1)]) << index;
    }
    enhancer_reset(&instance_);
  }
  enhancer_set_schedule(&instance_, ENHANCER_AT_ONCE);
  EXPECT_EQ(process(tone(0)), expected[0]);
}

TEST_F(ApiTest, ThePipelinedCallReturnsWhileTheNpuWorks) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  enhancer_set_schedule(&instance_, ENHANCER_PIPELINED);
  int runs = 0;
  fake::platform().on_run = [&runs] {
    ++runs;
    echo_network();
    return false;  // It has not ended yet.
  };
  process(tone(0));
  EXPECT_EQ(runs, 1);
  fake::raise_npu_interrupt();
  process(tone(1));
  EXPECT_EQ(runs, 2);
}

TEST_F(ApiTest, AFailedPipelinedHopIsRunAgainAndTheNextOneStarted) {
  ASSERT_EQ(init(sizeof arena_), Error::kNone);
  enhancer_set_schedule(&instance_, ENHANCER_PIPELINED);
  process(tone(0));
  const Hop second = process(tone(1));
  const Hop third = process(tone(2));
  enhancer_reset(&instance_);
  int runs = 0;
  fake::platform().on_run = [&runs] {
    if (++runs % 2 == 0) {
      return echo_network();
    }
    fake::platform().npu_registers[0x004] = 1U << 2;
    return true;
  };
  process(tone(0));
  EXPECT_EQ(process(tone(1)), second);
  EXPECT_EQ(process(tone(2)), third);
  EXPECT_EQ(runs, 5);
  fake::platform().on_run = [] { return false; };
  const Hop noisy = tone(3);
  Hop out(noisy.size());
  EXPECT_STREQ(enhancer_status_name(enhancer_process(&instance_, noisy.data(), out.data())),
               "npu_timeout");
  EXPECT_EQ(counts().late, 1U);
}

class MicrophoneLoopTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    ASSERT_EQ(microphone_loop_init(&loop_, package_.data(), package_bytes_, arena_, sizeof arena_),
              0);
    ASSERT_EQ(init(sizeof other_arena_), Error::kNone);
  }
  /// The DMA records a hop and plays what lies in the same pair, then interrupts.
  Hop exchange(const Hop& recorded) {
    Hop played(loop_.speaker[pair_], loop_.speaker[pair_] + ENHANCER_HOP_SAMPLES);
    std::memcpy(loop_.microphone[pair_], recorded.data(), sizeof loop_.microphone[pair_]);
    pair_ = microphone_loop_interrupt(&loop_);
    return played;
  }

  std::uint32_t passed_through() const {
    enhancer_counts counts = {};
    enhancer_get_counts(&loop_.enhancer, &counts);
    return counts.failed + counts.late;
  }

  microphone_loop loop_ = {};
  alignas(ENHANCER_ALIGNMENT) std::uint8_t other_arena_[4096] = {};
  std::uint32_t pair_ = 0;
};

TEST_F(MicrophoneLoopTest, PlaysEveryHopTwoHopsLater) {
  ASSERT_EQ(
      enhancer_init(&instance_, package_.data(), package_bytes_, other_arena_, sizeof other_arena_),
      0);
  std::vector<Hop> enhanced;
  for (int index = 0; index < 8; ++index) {
    const Hop played = exchange(tone(index));
    if (index >= 2) {
      EXPECT_EQ(played, enhanced[static_cast<std::size_t>(index - 2)]) << index;
    }
    microphone_loop_poll(&loop_);
    microphone_loop_poll(&loop_);  // Nothing to do.
    enhanced.push_back(process(tone(index)));
  }
  EXPECT_EQ(loop_.late_hops, 0U);
  EXPECT_EQ(passed_through(), 0U);
}

TEST_F(MicrophoneLoopTest, CountsLateAndFailedHopsAndGoesOn) {
  exchange(tone(0));
  microphone_loop_poll(&loop_);
  exchange(tone(1));
  exchange(tone(2));
  EXPECT_EQ(exchange(tone(3)), tone(1));
  microphone_loop_poll(&loop_);
  EXPECT_EQ(loop_.late_hops, 2U);
  EXPECT_EQ(loop_.enhanced_hops, 4U);
  fake::platform().on_run = [] { return false; };
  exchange(tone(4));
  microphone_loop_poll(&loop_);
  EXPECT_EQ(passed_through(), 1U);
}

}  // namespace
}  // namespace enhancer
