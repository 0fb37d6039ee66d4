#include "app/application.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "app/paths.h"
#include "app/run_statistics.h"
#include "fake_platform.h"
#include "model/container.h"
#include "package_builder.h"

namespace enhancer {
namespace {

/// A network whose mask is its features.
bool echo_network() {
  auto* arena = static_cast<std::uint8_t*>(fake::npu_pointer(0x088));
  std::memcpy(arena + fake::kMaskOffset, arena + fake::kFeaturesOffset, fake::kBands);
  fake::platform().npu_registers[0x004] = 1U << 5;
  return true;
}

std::string wav(std::size_t samples) {
  std::string content("RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\0\0\0\2\0\x10\0data",
                      40);
  const auto bytes = static_cast<std::uint32_t>(2 * samples);
  content.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  return content.append(bytes, '\x11');
}

class ApplicationTest : public testing::Test {
 protected:
  void SetUp() override {
    fake::reset();
    fake::platform().on_run = echo_network;
    fake::platform().model = fake::PackageParts().build();
  }
  Error run(std::string command) { return run_application(command.data()); }
  bool reported(const std::string& text) {
    return fake::platform().console.find(text) != std::string::npos;
  }
  void add_golden(std::uint8_t expected) {
    fake::PackageParts parts;
    fake::Bytes& golden = parts.sections[Section::kGolden];
    golden = fake::Bytes(16, 0);
    golden[0] = 1;
    golden.insert(golden.end(), {1, 2, 3, 4, 1, 2, 3, expected});
    fake::platform().model = parts.build();
  }
};

TEST_F(ApplicationTest, EnhancesAWholeFile) {
  fake::platform().files["in.wav"] = wav(1000);
  EXPECT_EQ(run("enhance in.wav out.wav trace"), Error::kNone);
  EXPECT_EQ(fake::platform().files["out.wav"].size(), wav(1000).size());
  EXPECT_EQ(fake::platform().files["trace"].size(), 5U * 2 * fake::kBands);
  EXPECT_TRUE(reported("\"type\":\"summary\",\"hops\":5,"));
  EXPECT_TRUE(reported("\"exit_code\":0}\r\n\x04"));
}

TEST_F(ApplicationTest, ALiveFileGoesOnAfterHopsThatFailOrAreLate) {
  fake::platform().files["in.wav"] = wav(2560);
  int runs = 0;
  fake::platform().on_run = [&runs] {
    ++runs;
    if (runs == 9) {
      return false;  // Late, and with no time to be run again.
    }
    if (runs == 2 || runs == 5 || runs == 6) {
      fake::platform().npu_registers[0x004] = 1U << 2;
      return true;
    }
    return echo_network();
  };
  EXPECT_EQ(run("enhance-live in.wav out.wav"), Error::kNone);
  EXPECT_EQ(fake::platform().files["out.wav"].size(), wav(2560).size());
  EXPECT_TRUE(reported("\"hops\":11,"));
  EXPECT_TRUE(reported("\"retried_hops\":2,\"failed_hops\":1,\"late_hops\":1,"));
  runs = 4;
  EXPECT_EQ(run("enhance in.wav out.wav"), Error::kNpuBusFault);
  EXPECT_TRUE(reported("\"retried_hops\":1,\"failed_hops\":1,\"late_hops\":0,"));
}

TEST_F(ApplicationTest, TheLongestSummaryIsWhole) {
  RunStatistics statistics;
  constexpr std::uint64_t kLargest = UINT64_MAX;
  HopCost cost;
  cost.features_ticks = cost.inference_ticks = cost.synthesis_ticks = kLargest;
  cost.npu = {kLargest, kLargest, kLargest, kLargest, kLargest};
  statistics.add(cost);
  statistics.send_summary({UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX});
  EXPECT_TRUE(reported("\"stack_capacity_bytes\":456}\r\n"));
}

TEST_F(ApplicationTest, AnEmptyFileStaysEmpty) {
  fake::platform().files["in.wav"] = wav(0);
  EXPECT_EQ(run("enhance in.wav out.wav"), Error::kNone);
  EXPECT_EQ(fake::platform().files["out.wav"].size(), 44U);
}

TEST_F(ApplicationTest, APartialFileDoesNotClaimToBeWhole) {
  fake::platform().files["in.wav"] = wav(1000);
  fake::platform().disk_bytes = 700;
  EXPECT_EQ(run("enhance in.wav out.wav"), Error::kFileWrite);
  constexpr std::size_t kDataBytes = 40;
  const std::string& partial = fake::platform().files["out.wav"];
  ASSERT_GT(partial.size(), 44U);
  EXPECT_EQ(partial.substr(kDataBytes, 4), std::string(4, '\0'));
  EXPECT_TRUE(reported("\"type\":\"summary\",\"hops\":"));
}

TEST_F(ApplicationTest, NeverWritesOverItsInput) {
  const std::string noisy = wav(1000);
  fake::platform().files["in.wav"] = noisy;
  EXPECT_EQ(run("enhance in.wav in.wav"), Error::kFileSame);
  EXPECT_EQ(run("enhance in.wav out.wav in.wav"), Error::kFileSame);
  EXPECT_EQ(run("enhance in.wav out.wav out.wav"), Error::kFileSame);
  EXPECT_EQ(run("run in.wav in.wav"), Error::kFileSame);
  for (const std::string other : {"./in.wav", ".//./in.wav"}) {
    EXPECT_EQ(run("enhance in.wav " + other), Error::kFileSame) << other;
    EXPECT_EQ(run("enhance-live " + other + " in.wav"), Error::kFileSame) << other;
    EXPECT_EQ(run("run " + other + " in.wav"), Error::kFileSame) << other;
  }
  EXPECT_EQ(fake::platform().files["in.wav"], noisy);
}

TEST(Paths, AreTheSameHoweverTheyAreSpelled) {
  EXPECT_TRUE(are_same("a/b.wav", "./a//./b.wav"));
  EXPECT_TRUE(are_same("/a/b", "//a/./b"));
  EXPECT_TRUE(are_same(".", "./"));
  EXPECT_FALSE(are_same("/a", "a"));
  EXPECT_FALSE(are_same("a/b", "ab"));
  EXPECT_FALSE(are_same("a", "a.wav"));
  EXPECT_FALSE(are_same(".a", "a"));
  EXPECT_FALSE(are_same("..", "."));
  EXPECT_FALSE(are_same("a", nullptr));
  EXPECT_FALSE(are_same(nullptr, nullptr));
}

/// Four inputs of four bytes each come back as they are from the echo network.
TEST_F(ApplicationTest, RunsInferencesFromAFile) {
  const std::string inputs = "abcdEFGHijkl1234";
  fake::platform().files["in"] = inputs;
  EXPECT_EQ(run("run in out"), Error::kNone);
  EXPECT_EQ(fake::platform().files["out"], inputs);
  EXPECT_TRUE(reported("\"hops\":4,"));
}

TEST_F(ApplicationTest, ReportsInputsThatEndEarlyAndADiskThatIsFull) {
  fake::platform().files["in"] = "abcdE";
  EXPECT_EQ(run("run in out"), Error::kFileRead);
  EXPECT_TRUE(reported("\"name\":\"file_read\",\"expected\":4,\"actual\":1"));
  fake::platform().files["in"] = "abcdEFGH";
  fake::platform().disk_bytes = 5;
  EXPECT_EQ(run("run in out"), Error::kFileWrite);
  EXPECT_EQ(run("run absent out"), Error::kFileOpen);
}

TEST_F(ApplicationTest, AModelWithoutFrontEndRunsButDoesNotEnhance) {
  fake::PackageParts parts;
  parts.sections.erase(Section::kFrontEnd);
  fake::platform().model = parts.build();
  fake::platform().files["in"] = "abcd";
  EXPECT_EQ(run("run in out"), Error::kNone);
  EXPECT_EQ(fake::platform().files["out"], "abcd");
  fake::platform().files["in.wav"] = wav(1000);
  EXPECT_EQ(run("enhance in.wav out.wav"), Error::kPackageNoFrontEnd);
}

TEST_F(ApplicationTest, ReportsAFullDisk) {
  constexpr std::size_t kWavHeaderBytes = 44;
  fake::platform().files["in.wav"] = wav(1000);
  for (const std::size_t room : {std::size_t{0}, kWavHeaderBytes, kWavHeaderBytes + 600}) {
    fake::platform().disk_bytes = room;
    EXPECT_EQ(run("enhance in.wav out.wav"), Error::kFileWrite) << room;
  }
}

TEST_F(ApplicationTest, BenchmarkComparesWithGolden) {
  add_golden(4);
  EXPECT_EQ(run("benchmark 3"), Error::kNone);
  EXPECT_TRUE(reported("\"hops\":3,"));
  EXPECT_TRUE(reported("\"compared_bytes\":12,\"mismatched_bytes\":0"));
}

TEST_F(ApplicationTest, BenchmarkFindsMismatches) {
  add_golden(5);
  EXPECT_EQ(run("benchmark"), Error::kGoldenMismatch);
  EXPECT_TRUE(reported("\"mismatched_bytes\":1"));
  EXPECT_TRUE(reported("\"name\":\"golden_mismatch\",\"expected\":0,\"actual\":1"));
}

TEST_F(ApplicationTest, BenchmarkNeedsGolden) {
  EXPECT_EQ(run("benchmark"), Error::kGoldenMissing);
}

TEST_F(ApplicationTest, RefusesOtherCommands) {
  for (const char* command :
       {"", "   ", "dance", "enhance in.wav", "enhance a b c d", "run", "run a", "run a b c",
        "benchmark 0", "benchmark x", "benchmark 99999999999999999999"}) {
    EXPECT_EQ(run(command), Error::kUsage) << command;
  }
}

TEST_F(ApplicationTest, ReportsAMissingPackage) {
  fake::platform().model.clear();
  EXPECT_EQ(run("benchmark"), Error::kPackageMissing);
  EXPECT_TRUE(reported("\"name\":\"package_missing\""));
}

TEST_F(ApplicationTest, ReportsAPackageNoEngineRuns) {
  fake::PackageParts parts;
  for (const auto kind : {Section::kNpuJob, Section::kNpuStream, Section::kNpuWeights}) {
    parts.sections.erase(kind);
  }
  fake::platform().model = parts.build();
  EXPECT_EQ(run("benchmark"), Error::kPackageNoEngine);
}

TEST_F(ApplicationTest, ReportsANpuThatHangsInTheMiddle) {
  int hops = 0;
  fake::platform().on_run = [&hops] { return ++hops < 3 && echo_network(); };
  fake::platform().files["in.wav"] = wav(2000);
  EXPECT_EQ(run("enhance in.wav out.wav"), Error::kNpuTimeout);
  EXPECT_TRUE(reported("\"name\":\"npu_timeout\""));
}

}  // namespace
}  // namespace enhancer
