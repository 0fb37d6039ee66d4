#include "dsp/stft.h"

#include <cmath>
#include <cstring>

#include "dsp/basic_math_functions.h"
#include "dsp/complex_math_functions.h"
#include "dsp/support_functions.h"

namespace enhancer {

Stft::Stft() {
  constexpr double kPi = 3.14159265358979323846;
  for (std::size_t n = 0; n < kFrameSamples; ++n) {
    window_[n] = static_cast<float>(std::sin(kPi * static_cast<double>(n) / kFrameSamples));
  }
  arm_rfft_fast_init_512_f32(&fft_);
}

void Stft::reset() {
  std::memset(history_, 0, sizeof history_);
  std::memset(overlap_, 0, sizeof overlap_);
}

void Stft::analyse(Span<const float> hop, Spectrum& spectrum) {
  arm_mult_f32(history_, window_, frame_, kHopSamples);
  arm_mult_f32(hop.data(), window_ + kHopSamples, frame_ + kHopSamples, kHopSamples);
  arm_copy_f32(hop.data(), history_, kHopSamples);
  arm_rfft_fast_f32(&fft_, frame_, spectrum, 0);
}

void Stft::synthesise(Spectrum& spectrum, Span<float> hop) {
  arm_rfft_fast_f32(&fft_, spectrum, frame_, 1);
  arm_mult_f32(frame_, window_, frame_, kFrameSamples);
  arm_add_f32(frame_, overlap_, hop.data(), kHopSamples);
  arm_copy_f32(frame_ + kHopSamples, overlap_, kHopSamples);
}

void magnitudes(const Stft::Spectrum& spectrum, Span<float> bins) {
  arm_cmplx_mag_f32(spectrum + 2, bins.data() + 1, kBins - 2);
  bins[0] = std::fabs(spectrum[0]);
  bins[kBins - 1] = std::fabs(spectrum[1]);
}

void apply_gains(Span<const float> gains, Stft::Spectrum& spectrum) {
  arm_cmplx_mult_real_f32(spectrum + 2, gains.data() + 1, spectrum + 2, kBins - 2);
  spectrum[0] *= gains[0];
  spectrum[1] *= gains[kBins - 1];
}

}  // namespace enhancer
