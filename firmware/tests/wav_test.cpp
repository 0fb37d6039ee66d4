#include "app/wav.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "dsp/frame.h"
#include "fake_platform.h"

namespace enhancer {
namespace {

template <typename T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string chunk(const std::string& id, const std::string& content) {
  const std::string padding(content.size() % 2, '\0');
  return id + raw(static_cast<std::uint32_t>(content.size())) + content + padding;
}

std::string format(std::uint16_t tag, std::uint16_t channels, std::uint32_t rate,
                   std::uint16_t bits) {
  return chunk("fmt ", raw(tag) + raw(channels) + raw(rate) + raw<std::uint32_t>(0) +
                           raw<std::uint16_t>(0) + raw(bits));
}

std::string wav(const std::string& chunks) {
  return "RIFF" + raw(static_cast<std::uint32_t>(chunks.size() + 4)) + "WAVE" + chunks;
}

const std::string kFormat = format(1, 1, 16000, 16);
const std::string kData = chunk("data", raw<std::int16_t>(-32768) + raw<std::int16_t>(16384));

class WavTest : public testing::Test {
 protected:
  void SetUp() override { fake::reset(); }
  Status open(const std::string& content) {
    fake::platform().files["in.wav"] = content;
    return reader_.open("in.wav");
  }
  WavReader reader_;
};

TEST_F(WavTest, ReadsSamplesAndPadsWithSilence) {
  ASSERT_TRUE(open(wav(kFormat + kData)).ok());
  EXPECT_EQ(reader_.samples(), 2U);
  float hop[kHopSamples];
  ASSERT_TRUE(reader_.read(hop).ok());
  EXPECT_EQ(hop[0], -1.0F);
  EXPECT_EQ(hop[1], 0.5F);
  EXPECT_EQ(hop[2], 0.0F);
}

TEST_F(WavTest, SkipsOtherChunksOfEvenAndOddLength) {
  EXPECT_TRUE(open(wav(chunk("LIST", "abc") + kFormat + chunk("fact", "abcd") + kData)).ok());
  EXPECT_EQ(reader_.samples(), 2U);
}

TEST_F(WavTest, RefusesOtherFormats) {
  EXPECT_EQ(open(wav(format(3, 1, 16000, 16) + kData)).error, Error::kWavUnsupported);
  EXPECT_EQ(open(wav(format(1, 2, 16000, 16) + kData)).error, Error::kWavUnsupported);
  EXPECT_EQ(open(wav(format(1, 1, 16000, 24) + kData)).error, Error::kWavUnsupported);
  const Status rate = open(wav(format(1, 1, 44100, 16) + kData));
  EXPECT_EQ(rate.error, Error::kWavUnsupported);
  EXPECT_EQ(rate.actual, 44100U);
}

TEST_F(WavTest, RefusesWhatIsNoWav) {
  EXPECT_EQ(reader_.open("absent.wav").error, Error::kFileOpen);
  EXPECT_EQ(open("").error, Error::kWavMalformed);
  EXPECT_EQ(open("RIFX0000WAVE").error, Error::kWavMalformed);
  EXPECT_EQ(open(wav(kFormat)).error, Error::kWavMalformed);
  EXPECT_EQ(open(wav(kData)).error, Error::kWavMalformed);
  EXPECT_EQ(open(wav(chunk("fmt ", "short") + kData)).error, Error::kWavMalformed);
}

TEST_F(WavTest, ReportsMissingSamples) {
  std::string cut = wav(kFormat + kData);
  cut.resize(cut.size() - 2);
  ASSERT_TRUE(open(cut).ok());
  float hop[kHopSamples];
  EXPECT_EQ(reader_.read(hop).error, Error::kFileRead);
}

TEST_F(WavTest, SurvivesAnyDamage) {
  const std::string whole = wav(kFormat + chunk("LIST", "xyz") + kData);
  std::minstd_rand random(7);
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = whole.substr(0, random() % (whole.size() + 1));
    for (char& byte : damaged) {
      byte = random() % 8 == 0 ? static_cast<char>(random()) : byte;
    }
    WavReader reader;
    fake::platform().files["in.wav"] = damaged;
    float hop[kHopSamples];
    if (reader.open("in.wav").ok()) {
      (void)reader.read(hop);
    }
  }
}

TEST_F(WavTest, WritesWhatItReads) {
  WavWriter writer;
  const float hop[4] = {-2.0F, -0.5F, 0.25F, 2.0F};
  ASSERT_TRUE(writer.open("out.wav", 4).ok());
  ASSERT_TRUE(writer.write(hop).ok());
  ASSERT_TRUE(writer.close().ok());
  const std::string& written = fake::platform().files["out.wav"];
  EXPECT_EQ(written.size(), 44U + 8U);
  ASSERT_TRUE(open(written).ok());
  float again[kHopSamples];
  ASSERT_TRUE(reader_.read(again).ok());
  EXPECT_EQ(again[0], -1.0F);
  EXPECT_EQ(again[1], -0.5F);
  EXPECT_EQ(again[2], 0.25F);
  EXPECT_EQ(again[3], 32767.0F / 32768.0F);
}

}  // namespace
}  // namespace enhancer
