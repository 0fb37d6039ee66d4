#pragma once

#include "arm_math_types.h"
#include "base/span.h"
#include "dsp/frame.h"
#include "dsp/transform_functions.h"

namespace enhancer {

/// Streaming short-time Fourier transform of pipeline/dsp/stft.py: periodic square-root Hann
/// window for analysis and synthesis, 50 % overlap, perfect reconstruction.
class Stft {
 public:
  /// A spectrum as CMSIS-DSP packs it: real parts of bin 0 and of the Nyquist bin, then real and
  /// imaginary part of bins 1 to 255.
  using Spectrum = float[kFrameSamples];

  Stft();

  /// Forget all audio.
  void reset();

  /// Window and transform the last hop and this one.
  void analyse(Span<const float> hop, Spectrum& spectrum);

  /// Inverse transform and overlap-add. Writes the hop before the one given to `analyse` and
  /// destroys `spectrum`.
  void synthesise(Spectrum& spectrum, Span<float> hop);

 private:
  arm_rfft_fast_instance_f32 fft_{};
  float window_[kFrameSamples] = {};
  float history_[kHopSamples] = {};
  float overlap_[kHopSamples] = {};
  float frame_[kFrameSamples] = {};
};

/// Magnitudes of all 257 bins.
void magnitudes(const Stft::Spectrum& spectrum, Span<float> bins);

/// Multiply every bin with its gain.
void apply_gains(Span<const float> gains, Stft::Spectrum& spectrum);

}  // namespace enhancer
