#include "dsp/stft.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace enhancer {
namespace {

std::vector<float> noise(std::size_t samples) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(samples);
  std::generate(values.begin(), values.end(), [&] { return uniform(random); });
  return values;
}

TEST(Stft, WithoutChangesReturnsTheSignalOneHopLater) {
  const std::vector<float> in = noise(10 * kHopSamples);
  Stft stft;
  float worst = 0;
  for (std::size_t start = 0; start < in.size(); start += kHopSamples) {
    Stft::Spectrum spectrum;
    float out[kHopSamples];
    stft.analyse({in.data() + start, kHopSamples}, spectrum);
    stft.synthesise(spectrum, out);
    for (std::size_t n = 0; n < kHopSamples; ++n) {
      const float expected = start == 0 ? 0.0F : in[start - kHopSamples + n];
      worst = std::max(worst, std::fabs(out[n] - expected));
    }
  }
  EXPECT_LT(worst, 1e-6F);
}

TEST(Stft, MagnitudesAreThoseOfTheFourierSum) {
  const std::vector<float> in = noise(kHopSamples);
  Stft stft;
  Stft::Spectrum spectrum;
  float bins[kBins];
  stft.analyse({in.data(), kHopSamples}, spectrum);
  magnitudes(spectrum, bins);
  constexpr double kPi = 3.14159265358979323846;
  for (const std::size_t bin : {0U, 1U, 77U, 255U, 256U}) {
    double real = 0;
    double imaginary = 0;
    for (std::size_t n = kHopSamples; n < kFrameSamples; ++n) {
      const double windowed = in[n - kHopSamples] * std::sin(kPi * n / kFrameSamples);
      real += windowed * std::cos(2 * kPi * bin * n / kFrameSamples);
      imaginary -= windowed * std::sin(2 * kPi * bin * n / kFrameSamples);
    }
    EXPECT_NEAR(bins[bin], std::hypot(real, imaginary), 1e-4) << bin;
  }
}

TEST(Stft, GainsScaleEveryBin) {
  const std::vector<float> in = noise(kHopSamples);
  Stft stft;
  Stft::Spectrum spectrum;
  float before[kBins];
  float after[kBins];
  float gains[kBins];
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    gains[bin] = static_cast<float>(bin) / 256;
  }
  stft.analyse({in.data(), kHopSamples}, spectrum);
  magnitudes(spectrum, before);
  apply_gains(gains, spectrum);
  magnitudes(spectrum, after);
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    EXPECT_NEAR(after[bin], before[bin] * gains[bin], 1e-4) << bin;
  }
}

TEST(Stft, ResetForgetsTheSignal) {
  const std::vector<float> in = noise(kHopSamples);
  const float silence[kHopSamples] = {};
  Stft stft;
  Stft::Spectrum spectrum;
  float out[kHopSamples];
  stft.analyse({in.data(), kHopSamples}, spectrum);
  stft.synthesise(spectrum, out);
  stft.reset();
  stft.analyse(silence, spectrum);
  stft.synthesise(spectrum, out);
  EXPECT_TRUE(std::all_of(out, out + kHopSamples, [](float sample) { return sample == 0; }));
}

}  // namespace
}  // namespace enhancer
