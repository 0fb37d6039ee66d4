"""The audio front and back end."""

import numpy as np
import pytest

from pipeline.dsp import (
    FRAME_SAMPLES,
    HOP_SAMPLES,
    FrontEnd,
    band_matrix,
    enhance,
    ideal_ratio_mask,
    istft,
    stft,
    window,
)
from pipeline.dsp.bands import band_centres


@pytest.fixture
def audio() -> np.ndarray:
    return np.random.default_rng(0).normal(size=10_007).astype(np.float32)


def test_analysis_and_synthesis_reconstruct_any_length(audio: np.ndarray) -> None:
    for samples in (1, 255, 256, 257, 10_007):
        signal = audio[:samples]
        np.testing.assert_allclose(istft(stft(signal), samples), signal, atol=2e-6)


def test_frame_k_sees_exactly_the_two_hops_around_it(audio: np.ndarray) -> None:
    k = 5
    frame = audio[(k - 1) * HOP_SAMPLES : (k + 1) * HOP_SAMPLES]
    assert frame.size == FRAME_SAMPLES
    np.testing.assert_allclose(stft(audio)[k], np.fft.rfft(frame * window()), atol=1e-4)


def test_synthesis_refuses_the_wrong_number_of_frames(audio: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"1000 samples need 5 frames, the spectrum has 41"):
        istft(stft(audio), 1000)


@pytest.mark.parametrize("bands", [8, 64, 128, 257])
def test_bands_cover_every_bin_once_and_none_is_empty(bands: int) -> None:
    matrix = band_matrix(bands)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-6)
    assert (matrix.sum(axis=0) > 0.5 - 1e-6).all()
    assert np.diff(band_centres(bands)).min() >= 1 - 1e-9
    assert np.all(np.diff(band_centres(bands), n=2) > -1.01)


def test_bands_are_mel_spaced_where_a_bin_is_finer_than_a_band() -> None:
    hz = band_centres(64)[40:] * 16_000 / 512
    mel = 2595 * np.log10(1 + hz / 700)
    np.testing.assert_allclose(np.diff(mel)[:-1], np.diff(mel)[0], rtol=1e-6)


@pytest.mark.parametrize("bands", [1, 258])
def test_impossible_band_counts_are_refused(bands: int) -> None:
    with pytest.raises(ValueError, match=f"bands = {bands}: expected 2 to 257"):
        band_matrix(bands)


def test_an_open_mask_changes_nothing_and_a_closed_one_silences(audio: np.ndarray) -> None:
    front_end = FrontEnd(np.zeros(128, np.float32), np.ones(128, np.float32))
    np.testing.assert_allclose(enhance(audio, front_end, np.ones_like), audio, atol=2e-6)
    assert not enhance(audio, front_end, np.zeros_like).any()


def test_features_are_standardized_and_bounded(audio: np.ndarray) -> None:
    magnitude = np.abs(stft(audio))
    front_end = FrontEnd.measure(magnitude, np.ones(len(magnitude), np.float32), 128)
    features = front_end.features(magnitude)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=0.02)
    assert (features.std(axis=0) > 0.2).all() and (features.std(axis=0) < 0.2501).all()
    assert np.abs(front_end.features(magnitude * 1000)).max() == 1.0


def test_front_end_refuses_constants_that_cannot_standardize() -> None:
    with pytest.raises(ValueError, match="deviation positive"):
        FrontEnd(np.zeros(4, np.float32), np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="two vectors of one length"):
        FrontEnd(np.zeros(4, np.float32), np.ones(5, np.float32))


def test_the_oracle_beats_the_mixture(audio: np.ndarray) -> None:
    clean = np.sin(np.arange(audio.size) * 0.2).astype(np.float32)
    estimate = ideal_ratio_mask(clean + audio, clean, 128)
    assert np.square(estimate - clean).mean() < 0.2 * np.square(audio).mean()
