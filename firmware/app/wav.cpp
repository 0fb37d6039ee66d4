#include "app/wav.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/saturate.h"

namespace enhancer {
namespace {

constexpr float kFullScale = 32768.0F;
constexpr float kFullScale32 = 2147483648.0F;
constexpr int kMaxChunks = 64;
/// What the lengths of a header can say: 37 hours.
constexpr std::uint32_t kMostSamples = (0xFFFFFFFF - 64) / sizeof(std::int16_t);
/// Programs that write to a pipe put lengths like these, and no file here is as long.
constexpr std::uint32_t kUnknownLength = 0x7FFFF000;

enum Encoding : std::uint16_t { kPcm = 1, kFloat = 3, kExtensible = 0xFFFE };

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

/// What follows FormatChunk in WAVE_FORMAT_EXTENSIBLE.
struct FormatExtension {
  std::uint16_t bytes;
  std::uint16_t valid_bits;
  std::uint32_t channel_mask;
  std::uint16_t format;
  std::uint8_t guid_rest[14];
};
static_assert(sizeof(FormatExtension) == 24);

/// All but the first two bytes of a GUID that stands for a format tag.
constexpr std::uint8_t kTagGuid[14] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71};

bool is(const char (&id)[4], const char* name) { return std::memcmp(id, name, sizeof id) == 0; }

Status check(const FormatChunk& format) {
  if (format.format != kPcm && format.format != kFloat) {
    return {Error::kWavEncoding, kPcm, format.format};
  }
  const bool known_size = format.format == kFloat
                              ? format.bits == 32
                              : format.bits == 16 || format.bits == 24 || format.bits == 32;
  if (!known_size) {
    return {Error::kWavBits, format.format == kFloat ? 32U : 16U, format.bits};
  }
  if (format.channels != 1) {
    return {Error::kWavChannels, 1, format.channels};
  }
  if (format.rate_hz != kRateHz) {
    return {Error::kWavRate, kRateHz, format.rate_hz};
  }
  // Some programs write 0; more than a sample means that it lies in a larger container.
  const std::uint32_t sample_bytes = format.bits / 8U;
  return format.block_bytes == 0 || format.block_bytes == sample_bytes
             ? kOk
             : Status{Error::kWavMalformed, sample_bytes, format.block_bytes};
}

float to_float(const std::uint8_t* stored, std::uint32_t bytes, bool is_float) {
  if (is_float) {
    float value = 0;
    std::memcpy(&value, stored, sizeof value);
    return value;
  }
  // Any number of bytes becomes the upper ones of 32 bits.
  std::uint32_t bits = 0;
  std::memcpy(reinterpret_cast<std::uint8_t*>(&bits) + sizeof bits - bytes, stored, bytes);
  return static_cast<float>(static_cast<std::int32_t>(bits)) / kFullScale32;
}

}  // namespace

Status WavReader::open(const char* path) {
  if (!file_.open(path, platform::File::Mode::kRead)) {
    return {Error::kFileOpen};
  }
  return parse_header();
}

Status WavReader::parse_format(std::uint32_t chunk_bytes) {
  FormatChunk format{};
  if (chunk_bytes < sizeof format || file_.read(&format, sizeof format) != sizeof format) {
    return {Error::kWavMalformed, sizeof format, chunk_bytes};
  }
  if (format.format == kExtensible) {
    FormatExtension extension{};
    if (chunk_bytes < sizeof format + sizeof extension ||
        file_.read(&extension, sizeof extension) != sizeof extension) {
      return {Error::kWavMalformed, sizeof format + sizeof extension, chunk_bytes};
    }
    if (std::memcmp(extension.guid_rest, kTagGuid, sizeof kTagGuid) != 0) {
      return {Error::kWavEncoding, kPcm, kExtensible};
    }
    format.format = extension.format;
  }
  is_float_ = format.format == kFloat;
  sample_bytes_ = format.bits / 8U;
  return check(format);
}

Status WavReader::parse_header() {
  RiffHeader riff{};
  if (file_.read(&riff, sizeof riff) != sizeof riff || !is(riff.riff, "RIFF") ||
      !is(riff.wave, "WAVE")) {
    return {Error::kWavMalformed};
  }
  bool has_format = false;
  std::uint64_t position = sizeof riff;
  for (int index = 0; index < kMaxChunks; ++index) {
    ChunkHeader chunk{};
    if (file_.read(&chunk, sizeof chunk) != sizeof chunk) {
      break;
    }
    if (is(chunk.id, "data")) {
      const bool is_stream =
          chunk.bytes >= kUnknownLength ||
          (chunk.bytes == 0 && (riff.bytes == 0 || riff.bytes >= kUnknownLength));
      samples_ = is_stream || !has_format ? kUnknown : chunk.bytes / sample_bytes_;
      return has_format ? kOk : Status{Error::kWavMalformed};
    }
    if (is(chunk.id, "fmt ")) {
      if (const Status status = parse_format(chunk.bytes); !status.ok()) {
        return status;
      }
      has_format = true;
    }
    // Chunks are padded to an even number of bytes.
    position += sizeof chunk + std::uint64_t{chunk.bytes} + (chunk.bytes & 1U);
    if (position > 0xFFFFFFFF || !file_.seek(static_cast<std::uint32_t>(position))) {
      break;
    }
  }
  return {Error::kWavMalformed};
}

Status WavReader::read(Span<float> hop, std::size_t& count) {
  std::uint8_t stored[kHopSamples * sizeof(float)];
  const auto wanted = std::min(static_cast<std::uint32_t>(hop.size()), samples_ - read_);
  const std::size_t got = file_.read(stored, std::size_t{wanted} * sample_bytes_);
  count = got / sample_bytes_;
  if (count != wanted && samples_ != kUnknown) {
    return {Error::kFileRead, samples_, read_ + static_cast<std::uint32_t>(count)};
  }
  for (std::size_t index = 0; index < count; ++index) {
    hop[index] = to_float(stored + index * sample_bytes_, sample_bytes_, is_float_);
    if (!std::isfinite(hop[index])) {
      return {Error::kWavMalformed, 0, read_ + static_cast<std::uint32_t>(index)};
    }
  }
  std::fill(hop.begin() + count, hop.end(), 0.0F);
  read_ += static_cast<std::uint32_t>(count);
  return kOk;
}

Status WavWriter::write_header() {
  struct Header {
    RiffHeader riff;
    ChunkHeader format_header;
    FormatChunk format;
    ChunkHeader data_header;
  };
  constexpr std::uint32_t kSampleBytes = sizeof(std::int16_t);
  const std::uint32_t data_bytes = samples_ * kSampleBytes;
  const Header header = {
      {{'R', 'I', 'F', 'F'},
       data_bytes + static_cast<std::uint32_t>(sizeof(Header)) - 8,
       {'W', 'A', 'V', 'E'}},
      {{'f', 'm', 't', ' '}, sizeof(FormatChunk)},
      {kPcm, 1, kRateHz, kRateHz * kSampleBytes, kSampleBytes, 8 * kSampleBytes},
      {{'d', 'a', 't', 'a'}, data_bytes},
  };
  static_assert(sizeof(Header) == 44);
  return file_.write(&header, sizeof header) ? kOk : Status{Error::kFileWrite};
}

Status WavWriter::open(const char* path) {
  if (!file_.open(path, platform::File::Mode::kWrite)) {
    return {Error::kFileOpen};
  }
  samples_ = 0;
  return write_header();
}

Status WavWriter::write(Span<const float> samples) {
  std::int16_t pcm[kHopSamples];
  std::transform(samples.begin(), samples.end(), pcm,
                 [](float sample) { return saturate<std::int16_t>(sample * kFullScale); });
  samples_ += static_cast<std::uint32_t>(samples.size());
  if (samples_ > kMostSamples) {
    return {Error::kFileWrite};
  }
  return file_.write(pcm, samples.size() * sizeof(std::int16_t)) ? kOk : Status{Error::kFileWrite};
}

Status WavWriter::close() {
  const bool rewound = file_.seek(0);
  const Status status = rewound ? write_header() : Status{Error::kFileWrite};
  return file_.close() ? status : Status{Error::kFileWrite};
}

}  // namespace enhancer
