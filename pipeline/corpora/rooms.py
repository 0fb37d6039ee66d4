"""Synthetic room responses: a direct path, a few early reflections, a decaying diffuse tail."""

from __future__ import annotations

import numpy as np
from scipy import signal

from pipeline.corpora.audio import RATE_HZ

RESPONSE_S = 0.6
EARLY_S = 0.05
_BAND_EDGES_HZ = (500, 2000)


def room_response(rng: np.random.Generator) -> np.ndarray:
    """One response, float32 [9600]: 0.6 s at 16 kHz, direct path 1.0 at sample 0.

    Reverberation time 0.15-0.9 s, shorter towards high frequencies (three bands); ratio of
    direct to reverberant energy 0-15 dB; three to twelve reflections within 30 ms.
    """
    samples = round(RESPONSE_S * RATE_HZ)
    time_s = np.arange(samples) / RATE_HZ
    rt60_s = rng.uniform(0.15, 0.9)
    tail = np.zeros(samples)
    for band, damping in enumerate((1.0, rng.uniform(0.7, 1.0), rng.uniform(0.4, 0.8))):
        noise = signal.sosfilt(_BANDS[band], rng.standard_normal(samples))
        tail += noise * 10 ** (-3 * time_s / (rt60_s * damping))
    start = rng.integers(16, 160)
    tail[:start] = 0
    count = rng.integers(3, 13)
    delays = rng.integers(8, round(0.03 * RATE_HZ), count)
    reflections = np.zeros(samples)
    np.add.at(reflections, delays, rng.choice([-1, 1], count) * rng.uniform(0.2, 1, count))
    reverberant = tail / np.linalg.norm(tail) + rng.uniform(0.3, 1.5) * reflections / np.sqrt(count)
    direct_to_reverberant = 10 ** (rng.uniform(0, 15) / 20)
    response = reverberant / (np.linalg.norm(reverberant) * direct_to_reverberant)
    response[0] += 1.0
    return np.asarray(response, np.float32)


def early_part(response: np.ndarray) -> np.ndarray:
    """The first 50 ms of responses [..., samples], the rest zero: what a clean target keeps."""
    early = response.copy()
    early[..., round(EARLY_S * RATE_HZ) :] = 0
    return early


def _band_filters() -> tuple[np.ndarray, ...]:
    low, high = _BAND_EDGES_HZ
    return (
        signal.butter(2, low, "lowpass", fs=RATE_HZ, output="sos"),
        signal.butter(2, (low, high), "bandpass", fs=RATE_HZ, output="sos"),
        signal.butter(2, high, "highpass", fs=RATE_HZ, output="sos"),
    )


_BANDS = _band_filters()
