#include "app/wav.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>
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
                   std::uint16_t bits, std::uint16_t block_bytes = 0) {
  return chunk("fmt ", raw(tag) + raw(channels) + raw(rate) + raw<std::uint32_t>(0) +
                           raw(block_bytes) + raw(bits));
}

std::string extensible(std::uint16_t tag, std::uint16_t channels, std::uint32_t rate,
                       std::uint16_t bits) {
  const std::string guid("\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71", 14);
  const std::string plain = format(0xFFFE, channels, rate, bits).substr(8);
  return chunk("fmt ", plain + raw<std::uint16_t>(22) + raw(bits) + raw(4U) + raw(tag) + guid);
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
    return open_path("in.wav");
  }
  Status open_path(const char* path) {
    reader_.emplace();
    return reader_->open(path);
  }
  WavReader& reader() { return *reader_; }
  /// How many samples a sound file holds.
  std::size_t samples_of(const std::string& content) {
    EXPECT_TRUE(open(content).ok());
    float hop[kHopSamples];
    std::size_t count = 0;
    EXPECT_TRUE(reader().read(hop, count).ok());
    return count;
  }

 private:
  std::optional<WavReader> reader_;
};

TEST_F(WavTest, ReadsSamplesAndPadsWithSilence) {
  ASSERT_TRUE(open(wav(kFormat + kData)).ok());
  float hop[kHopSamples];
  std::size_t count = 0;
  ASSERT_TRUE(reader().read(hop, count).ok());
  EXPECT_EQ(count, 2U);
  EXPECT_EQ(hop[0], -1.0F);
  EXPECT_EQ(hop[1], 0.5F);
  EXPECT_EQ(hop[2], 0.0F);
  ASSERT_TRUE(reader().read(hop, count).ok());
  EXPECT_EQ(count, 0U);
}

TEST_F(WavTest, SkipsOtherChunksOfEvenAndOddLength) {
  EXPECT_EQ(samples_of(wav(chunk("LIST", "abc") + kFormat + chunk("fact", "abcd") + kData)), 2U);
}

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) {
    text.push_back(static_cast<char>(value));
  }
  return text;
}

/// -1, 0.5 and -2^-15 in every encoding, plain and extensible.
TEST_F(WavTest, ReadsEveryEncodingItClaimsTo) {
  const struct {
    std::uint16_t tag, bits;
    std::string data;
  } encodings[] = {
      {1, 16, bytes({0, 0x80, 0, 0x40, 0xFF, 0xFF})},
      {1, 24, bytes({0, 0, 0x80, 0, 0, 0x40, 0, 0xFF, 0xFF})},
      {1, 32, bytes({0, 0, 0, 0x80, 0, 0, 0, 0x40, 0, 0, 0xFF, 0xFF})},
      {3, 32, raw(-1.0F) + raw(0.5F) + raw(-1.0F / 32768)},
  };
  for (const auto& encoding : encodings) {
    for (const std::string& header : {format(encoding.tag, 1, 16000, encoding.bits),
                                      extensible(encoding.tag, 1, 16000, encoding.bits)}) {
      ASSERT_TRUE(open(wav(header + chunk("data", encoding.data))).ok());
      float hop[kHopSamples];
      std::size_t count = 0;
      ASSERT_TRUE(reader().read(hop, count).ok());
      EXPECT_EQ(count, 3U) << encoding.tag << " " << encoding.bits;
      EXPECT_EQ(hop[0], -1.0F);
      EXPECT_EQ(hop[1], 0.5F);
      EXPECT_EQ(hop[2], -1.0F / 32768);
    }
  }
}

TEST_F(WavTest, NamesTheFieldItDoesNotRead) {
  const struct {
    std::string format;
    Error error;
    std::uint32_t actual;
  } cases[] = {
      {format(6, 1, 16000, 8), Error::kWavEncoding, 6},
      {extensible(7, 1, 16000, 8), Error::kWavEncoding, 7},
      {format(1, 1, 16000, 8), Error::kWavBits, 8},
      {format(1, 1, 16000, 20), Error::kWavBits, 20},
      {format(3, 1, 16000, 64), Error::kWavBits, 64},
      {format(1, 2, 16000, 16), Error::kWavChannels, 2},
      {format(1, 0, 16000, 16), Error::kWavChannels, 0},
      {extensible(3, 6, 16000, 32), Error::kWavChannels, 6},
      {format(1, 1, 44100, 16), Error::kWavRate, 44100},
  };
  for (const auto& item : cases) {
    const Status status = open(wav(item.format + kData));
    EXPECT_EQ(status.error, item.error);
    EXPECT_EQ(status.actual, item.actual);
  }
  std::string other_guid = extensible(1, 1, 16000, 16);
  other_guid.back() = 'x';
  EXPECT_EQ(open(wav(other_guid + kData)).error, Error::kWavEncoding);
}

TEST_F(WavTest, SamplesInLargerContainersAreRefused) {
  EXPECT_TRUE(open(wav(format(1, 1, 16000, 24, 3) + kData)).ok());
  const Status status = open(wav(format(1, 1, 16000, 24, 4) + kData));
  EXPECT_EQ(status.error, Error::kWavMalformed);
  EXPECT_EQ(status.expected, 3U);
  EXPECT_EQ(status.actual, 4U);
}

TEST_F(WavTest, ReadsToTheEndWhereTheLengthWasNotKnown) {
  const std::string samples = raw<std::int16_t>(1) + raw<std::int16_t>(2) + raw<std::int16_t>(3);
  for (const std::uint32_t length : {0xFFFFFFFFU, 0x7FFFF000U, 0x80000000U}) {
    const std::string header = "RIFF" + raw(length) + "WAVE" + kFormat + "data" + raw(length);
    EXPECT_EQ(samples_of(header + samples), 3U) << length;
  }
  EXPECT_EQ(samples_of("RIFF" + raw(0U) + "WAVE" + kFormat + "data" + raw(0U) + samples), 3U);
  EXPECT_EQ(samples_of(wav(kFormat + chunk("data", ""))), 0U);
}

TEST_F(WavTest, AChunkThatNeverEndsIsMalformed) {
  const std::string endless = "junk" + raw(0xFFFFFFFFU);
  EXPECT_EQ(open(wav(endless + kFormat + kData)).error, Error::kWavMalformed);
}

TEST_F(WavTest, SamplesThatAreNoNumbersAreMalformed) {
  for (const float sample : {NAN, INFINITY, -INFINITY}) {
    ASSERT_TRUE(open(wav(format(3, 1, 16000, 32) + chunk("data", raw(0.0F) + raw(sample)))).ok());
    float hop[kHopSamples];
    std::size_t count = 0;
    const Status status = reader().read(hop, count);
    EXPECT_EQ(status.error, Error::kWavMalformed);
    EXPECT_EQ(status.actual, 1U);
  }
}

TEST_F(WavTest, RefusesWhatIsNoWav) {
  EXPECT_EQ(open_path("absent.wav").error, Error::kFileOpen);
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
  std::size_t count = 0;
  const Status status = reader().read(hop, count);
  EXPECT_EQ(status.error, Error::kFileRead);
  EXPECT_EQ(status.expected, 2U);
  EXPECT_EQ(status.actual, 1U);
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
    std::size_t count = 0;
    if (reader.open("in.wav").ok()) {
      (void)reader.read(hop, count);
    }
  }
}

TEST_F(WavTest, WritesWhatItReads) {
  WavWriter writer;
  const float hop[4] = {-2.0F, -0.5F, 0.25F, 2.0F};
  ASSERT_TRUE(writer.open("out.wav").ok());
  ASSERT_TRUE(writer.write(hop).ok());
  ASSERT_TRUE(writer.close().ok());
  const std::string& written = fake::platform().files["out.wav"];
  EXPECT_EQ(written.size(), 44U + 8U);
  ASSERT_TRUE(open(written).ok());
  float again[kHopSamples];
  std::size_t count = 0;
  ASSERT_TRUE(reader().read(again, count).ok());
  EXPECT_EQ(count, 4U);
  EXPECT_EQ(again[0], -1.0F);
  EXPECT_EQ(again[1], -0.5F);
  EXPECT_EQ(again[2], 0.25F);
  EXPECT_EQ(again[3], 32767.0F / 32768.0F);
}

}  // namespace
}  // namespace enhancer
