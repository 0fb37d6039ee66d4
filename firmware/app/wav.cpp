#include "app/wav.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "dsp/frame.h"

namespace enhancer {
namespace {

constexpr float kFullScale = 32768.0F;
constexpr std::uint16_t kFormatPcm = 1;
constexpr std::uint16_t kBits = 16;
constexpr int kMaxChunks = 64;

struct RiffHeader {
  char riff[4];
  std::uint32_t bytes;
  char wave[4];
};

struct ChunkHeader {
  char id[4];
  std::uint32_t bytes;
};

struct FormatChunk {
  std::uint16_t format;
  std::uint16_t channels;
  std::uint32_t rate_hz;
  std::uint32_t bytes_per_second;
  std::uint16_t block_bytes;
  std::uint16_t bits;
};
static_assert(sizeof(FormatChunk) == 16);

bool is(const char (&id)[4], const char* name) { return std::memcmp(id, name, sizeof id) == 0; }

Status unsupported(std::uint32_t expected, std::uint32_t actual) {
  return {Error::kWavUnsupported, expected, actual};
}

Status check(const FormatChunk& format) {
  if (format.format != kFormatPcm) {
    return unsupported(kFormatPcm, format.format);
  }
  if (format.channels != 1) {
    return unsupported(1, format.channels);
  }
  if (format.rate_hz != kRateHz) {
    return unsupported(kRateHz, format.rate_hz);
  }
  return format.bits == kBits ? kOk : unsupported(kBits, format.bits);
}

}  // namespace

Status WavReader::open(const char* path) {
  if (!file_.open(path, platform::File::Mode::kRead)) {
    return {Error::kFileOpen};
  }
  return parse_header();
}

Status WavReader::parse_header() {
  RiffHeader riff{};
  if (file_.read(&riff, sizeof riff) != sizeof riff || !is(riff.riff, "RIFF") ||
      !is(riff.wave, "WAVE")) {
    return {Error::kWavMalformed};
  }
  bool has_format = false;
  for (int index = 0; index < kMaxChunks; ++index) {
    ChunkHeader chunk{};
    if (file_.read(&chunk, sizeof chunk) != sizeof chunk) {
      break;
    }
    if (is(chunk.id, "data")) {
      samples_ = chunk.bytes / std::uint32_t{sizeof(std::int16_t)};
      return has_format ? kOk : Status{Error::kWavMalformed};
    }
    std::uint32_t rest = chunk.bytes;
    if (is(chunk.id, "fmt ")) {
      FormatChunk format{};
      if (chunk.bytes < sizeof format || file_.read(&format, sizeof format) != sizeof format) {
        return {Error::kWavMalformed, sizeof format, chunk.bytes};
      }
      if (const Status status = check(format); !status.ok()) {
        return status;
      }
      has_format = true;
      rest -= static_cast<std::uint32_t>(sizeof format);
    }
    // Chunks are padded to an even number of bytes.
    if (!file_.skip(std::size_t{rest} + (chunk.bytes & 1U))) {
      break;
    }
  }
  return {Error::kWavMalformed};
}

Status WavReader::read(Span<float> hop) {
  std::int16_t pcm[kHopSamples] = {};
  const auto wanted = std::min(static_cast<std::uint32_t>(hop.size()), samples_ - read_);
  if (file_.read(pcm, wanted * sizeof(std::int16_t)) != wanted * sizeof(std::int16_t)) {
    return {Error::kFileRead, samples_, read_};
  }
  read_ += wanted;
  std::transform(pcm, pcm + hop.size(), hop.begin(),
                 [](std::int16_t sample) { return static_cast<float>(sample) / kFullScale; });
  return kOk;
}

Status WavWriter::open(const char* path, std::uint32_t samples) {
  struct Header {
    RiffHeader riff;
    ChunkHeader format_header;
    FormatChunk format;
    ChunkHeader data_header;
  };
  constexpr std::uint32_t kSampleBytes = sizeof(std::int16_t);
  const std::uint32_t data_bytes = samples * kSampleBytes;
  const Header header = {
      {{'R', 'I', 'F', 'F'},
       data_bytes + static_cast<std::uint32_t>(sizeof(Header)) - 8,
       {'W', 'A', 'V', 'E'}},
      {{'f', 'm', 't', ' '}, sizeof(FormatChunk)},
      {kFormatPcm, 1, kRateHz, kRateHz * kSampleBytes, kSampleBytes, kBits},
      {{'d', 'a', 't', 'a'}, data_bytes},
  };
  static_assert(sizeof(Header) == 44);
  if (!file_.open(path, platform::File::Mode::kWrite)) {
    return {Error::kFileOpen};
  }
  return file_.write(&header, sizeof header) ? kOk : Status{Error::kFileWrite};
}

Status WavWriter::write(Span<const float> hop) {
  std::int16_t pcm[kHopSamples];
  std::transform(hop.begin(), hop.end(), pcm, [](float sample) {
    const float scaled = std::nearbyint(sample * kFullScale);
    return static_cast<std::int16_t>(std::clamp(scaled, -kFullScale, kFullScale - 1));
  });
  return file_.write(pcm, hop.size() * sizeof(std::int16_t)) ? kOk : Status{Error::kFileWrite};
}

Status WavWriter::close() { return file_.close() ? kOk : Status{Error::kFileWrite}; }

}  // namespace enhancer
