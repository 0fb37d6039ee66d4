"""Offset and level of the input do not reach the network."""

import numpy as np
import pytest

from pipeline.dsp import HOP_SAMPLES, RATE_HZ, FrontEnd, analyse, enhance, measure_front_end
from pipeline.dsp.conditioning import FULL_SCALE, LOWEST_LEVEL, NOMINAL_LEVEL, Conditioner
from pipeline.dsp.stft import whole_hops


@pytest.fixture
def speech_like() -> np.ndarray:
    """Four seconds of noise that comes and goes, about -21 dBFS in its loud parts."""
    rng = np.random.default_rng(0)
    bursts = np.repeat(rng.uniform(0.05, 1.0, 32), RATE_HZ // 8)
    return (0.09 * bursts * rng.normal(size=bursts.size)).astype(np.float32)


def conditioned(bands: int = 128) -> FrontEnd:
    return FrontEnd(np.full(bands, 0.8, np.float32), np.full(bands, 0.4, np.float32), True)


def recorded(signal: np.ndarray, level_db: float, offset: float = 0.0) -> np.ndarray:
    """What a 16-bit converter makes of it."""
    steps = np.rint((signal * 10 ** (level_db / 20) + offset) * FULL_SCALE)
    return (steps.clip(-FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE).astype(np.float32)


@pytest.mark.parametrize("level_db", [-25.0, -20.3, -6.0, 3.0, 6.0, 10.7])
def test_features_do_not_depend_on_level(speech_like: np.ndarray, level_db: float) -> None:
    _, expected = analyse(recorded(speech_like, 0.0), conditioned())
    spectra, features = analyse(recorded(speech_like, level_db), conditioned())
    # What is left is the noise of 16 bits.
    assert np.abs(features - expected).mean() < 0.004
    power = np.mean(np.abs(spectra) ** 2) / np.mean(
        np.abs(analyse(speech_like, conditioned())[0]) ** 2
    )
    assert 10 * np.log10(power) == pytest.approx(level_db, abs=0.1), "the audio keeps its level"


def test_without_conditioning_they_do(speech_like: np.ndarray) -> None:
    plain = FrontEnd(conditioned().mean, conditioned().deviation)
    _, expected = analyse(speech_like, plain)
    _, features = analyse(recorded(speech_like, -20), plain)
    assert np.abs(features - expected).mean() > 0.1


@pytest.mark.parametrize("offset", [-0.3, 0.01, 0.25])
def test_a_constant_offset_reaches_neither_features_nor_audio(
    speech_like: np.ndarray, offset: float
) -> None:
    settled = slice(4 * RATE_HZ // HOP_SAMPLES // 2, -1)
    quiet = recorded(speech_like, -20.0)
    expected_spectra, expected = analyse(quiet, conditioned())
    spectra, features = analyse(recorded(speech_like, -20.0, offset), conditioned())
    assert np.abs(features - expected)[settled].mean() < 0.01
    error = np.abs(spectra - expected_spectra)[settled]
    assert error.mean() < 0.02 * np.abs(expected_spectra[settled]).mean()


def test_an_open_mask_returns_the_audio_without_its_offset(speech_like: np.ndarray) -> None:
    noisy = recorded(speech_like, 0.0, 0.2)
    out = enhance(noisy, conditioned(), np.ones_like)
    settled = slice(2 * RATE_HZ, -2 * HOP_SAMPLES)
    np.testing.assert_allclose(out[settled], (noisy - 0.2)[settled], atol=2e-3)


def test_gain_follows_a_change_of_level_within_seconds_and_is_bounded() -> None:
    rng = np.random.default_rng(1)
    loud = rng.normal(scale=0.1, size=4 * RATE_HZ)
    signal = np.concatenate([loud, 0.01 * loud, np.zeros(20 * RATE_HZ)]).astype(np.float32)
    _, gains = Conditioner()(whole_hops(signal)[None])
    per_s = RATE_HZ // HOP_SAMPLES
    gains_db = 20 * np.log10(gains[0])
    assert gains_db[4 * per_s - 1] == pytest.approx(20 - 27.1, abs=0.5)
    assert 10 < gains_db[8 * per_s - 1] - gains_db[4 * per_s - 1] < 25, "a second's time constant"
    assert gains_db[-1] == pytest.approx(10 * np.log10(NOMINAL_LEVEL / LOWEST_LEVEL), abs=1e-3)


def test_the_firmware_computes_these_bits() -> None:
    n = np.arange(48 * HOP_SAMPLES)
    pcm = (n * 7919 % 4001 - 2000) * (1 + n // 4096 % 3) + 500
    samples = (pcm / FULL_SCALE).astype(np.float32)
    centred, gains = Conditioner()(samples[None])
    offsets = np.rint((samples - centred[0]) * FULL_SCALE)[::HOP_SAMPLES]
    # The numbers of firmware/tests/conditioner_test.cpp.
    expected = {0: (561, "0x1.3bd514p+0"), 16: (508, "0x1.31ff30p+0"), 47: (501, "0x1.4d6070p-1")}
    for hop, (offset, gain) in expected.items():
        assert (offsets[hop], gains[0, hop]) == (offset, float.fromhex(gain))


def test_streams_in_step_are_as_streams_alone(speech_like: np.ndarray) -> None:
    pair = np.stack([speech_like, recorded(speech_like, -15.0, 0.1)])
    together = Conditioner(2)
    samples, gains = together(pair[:, : 250 * HOP_SAMPLES])
    for row in (0, 1):
        one = Conditioner()
        first = one(pair[row : row + 1, : 100 * HOP_SAMPLES])
        rest = one(pair[row : row + 1, 100 * HOP_SAMPLES : 250 * HOP_SAMPLES])
        np.testing.assert_array_equal(np.concatenate([first[0], rest[0]], 1)[0], samples[row])
        np.testing.assert_array_equal(np.concatenate([first[1], rest[1]], 1)[0], gains[row])


def test_measured_front_end_is_conditioned_and_standardizes(speech_like: np.ndarray) -> None:
    mixtures = np.stack([recorded(speech_like, -k) for k in (0.0, 10.0, 20.0)])
    front_end = measure_front_end(mixtures, 128)
    assert front_end.conditioned
    _, features = analyse(mixtures, front_end)
    np.testing.assert_allclose(features.mean(axis=(0, 1)), 0, atol=0.02)
