#pragma once

#include <cstdint>

#include "base/span.h"
#include "base/status.h"
#include "platform/platform.h"

namespace enhancer {

/// Reads 16-bit mono PCM at 16 kHz from a RIFF/WAVE file.
class WavReader {
 public:
  /// Find the samples. Errors: file_open, wav_malformed, and wav_unsupported (expected and actual
  /// = format tag, channels, rate or bits).
  Status open(const char* path);
  std::uint32_t samples() const { return samples_; }

  /// Fill `hop` with samples in [-1, 1); past the end with zeros.
  Status read(Span<float> hop);

 private:
  Status parse_header();

  platform::File file_;
  std::uint32_t samples_ = 0;
  std::uint32_t read_ = 0;
};

/// Writes 16-bit mono PCM at 16 kHz.
class WavWriter {
 public:
  Status open(const char* path, std::uint32_t samples);
  /// Append samples, rounded to nearest and clipped.
  Status write(Span<const float> hop);
  Status close();

 private:
  platform::File file_;
};

}  // namespace enhancer
