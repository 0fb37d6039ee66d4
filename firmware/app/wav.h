#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "dsp/frame.h"
#include "platform/services.h"

namespace enhancer {

/// Reads mono audio at 16 kHz from a RIFF/WAVE file: PCM of 16, 24 or 32 bits or float of 32 bits,
/// plain or WAVE_FORMAT_EXTENSIBLE; also one whose header was written before its length was known.
class WavReader {
 public:
  /// Find the samples. Errors: file_open, wav_malformed, and wav_encoding, wav_bits, wav_channels
  /// or wav_rate for what is not read.
  Status open(const char* path);

  /// Fill `hop`, of at most kHopSamples, with samples in [-1, 1), past the end with zeros. `count`
  /// becomes the number of samples that were there. Errors: file_read (expected and actual samples
  /// of the file), and wav_malformed (actual = number of the sample) for NaN and infinity.
  Status read(Span<float> hop, std::size_t& count);

 private:
  static constexpr std::uint32_t kUnknown = 0xFFFFFFFF;
  Status parse_header();
  Status parse_format(std::uint32_t chunk_bytes);

  platform::File file_;
  bool is_float_ = false;
  std::uint32_t sample_bytes_ = 0;
  std::uint32_t samples_ = 0;
  std::uint32_t read_ = 0;
};

/// Writes 16-bit mono PCM at 16 kHz. The header says "empty" until close() completes it.
class WavWriter {
 public:
  Status open(const char* path);
  /// Append samples, rounded to nearest and clipped.
  Status write(Span<const float> samples);
  Status close();

 private:
  Status write_header();

  platform::File file_;
  std::uint32_t samples_ = 0;
};

}  // namespace enhancer
