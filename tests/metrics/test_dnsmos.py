"""DNSMOS around a network whose output is known: windows, repetition and polynomials."""

from typing import Any

import numpy as np
import pytest

from pipeline.metrics.dnsmos import WINDOW_SAMPLES, Dnsmos, OpinionScores


class FirstSample:
    """Raw scores that are the first sample of the window, and 2 and 3 more."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def run(self, outputs: None, feeds: dict[str, np.ndarray]) -> list[Any]:
        (window,) = feeds["input_1"]
        assert window.dtype == np.float32 and window.shape == (WINDOW_SAMPLES,)
        self.starts.append(float(window[0]))
        return [np.array([[window[0], window[0] + 2, window[0] + 3]])]


def test_published_polynomials_map_raw_scores() -> None:
    scores = Dnsmos(FirstSample())(np.ones(WINDOW_SAMPLES))
    assert scores.speech == pytest.approx(-0.08397278 + 1.22083953 + 0.0052439)
    assert scores.background == pytest.approx(-0.13166888 * 9 + 1.60915514 * 3 - 0.39604546)
    assert scores.overall == pytest.approx(-0.06766283 * 16 + 1.11546468 * 4 + 0.04602535)


@pytest.mark.parametrize(("seconds", "windows"), [(9.01, 1), (10.0, 1), (11.0, 2), (37.15, 28)])
def test_windows_are_a_second_apart_and_counted_as_published(seconds: float, windows: int) -> None:
    network = FirstSample()
    Dnsmos(network)(np.arange(round(seconds * 16_000)) / 16_000)
    np.testing.assert_allclose(network.starts, np.arange(windows))


def test_a_short_signal_is_repeated() -> None:
    network = FirstSample()
    Dnsmos(network)(np.concatenate([np.zeros(16_000), np.ones(48_000)]))
    assert network.starts == [0, 1, 1, 1, 0, 1, 1][: len(network.starts)]
    assert len(network.starts) == 7


def test_scores_are_means_over_windows() -> None:
    two = Dnsmos(FirstSample())(np.concatenate([np.zeros(16_000), np.ones(11 * 16_000)]))
    one = [Dnsmos(FirstSample())(np.full(WINDOW_SAMPLES, level)).speech for level in (0, 1, 1)]
    assert two.speech == pytest.approx(np.mean(one))
    assert isinstance(two, OpinionScores)


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Dnsmos(FirstSample())(np.zeros(0))
