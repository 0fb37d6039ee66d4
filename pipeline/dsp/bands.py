"""Mel bands that cover every FFT bin exactly once."""

import functools

import numpy as np
from numpy.typing import NDArray

from pipeline.dsp.stft import BINS, FRAME_SAMPLES, RATE_HZ


def _mel_step_bins(bin_index: float, step_mel: float) -> float:
    """Distance in FFT bins that ``step_mel`` covers at ``bin_index`` (O'Shaughnessy, 1987)."""
    hz = bin_index * RATE_HZ / FRAME_SAMPLES
    mel = 2595.0 * np.log10(1.0 + hz / 700.0) + step_mel
    return float((700.0 * (10.0 ** (mel / 2595.0) - 1.0) - hz) * FRAME_SAMPLES / RATE_HZ)


@functools.cache
def band_centres(bands: int) -> NDArray[np.float64]:
    """Centres of ``bands`` bands in FFT bins, from 0 Hz to the Nyquist frequency.

    Neighbours are a constant number of mel apart, but never closer than one FFT bin: with 128
    bands on a 512-point FFT plain mel triangles below 900 Hz would contain no bin at all.

    Raises:
        ValueError: fewer than 2 bands, or more bands than FFT bins.
    """
    if not 2 <= bands <= BINS:
        raise ValueError(f"bands = {bands}: expected 2 to {BINS} (the number of FFT bins)")
    low, high = 0.0, 4000.0
    for _ in range(100):
        step_mel = (low + high) / 2
        centres = [0.0]
        for _ in range(bands - 1):
            centres.append(centres[-1] + max(1.0, _mel_step_bins(centres[-1], step_mel)))
        low, high = (step_mel, high) if centres[-1] < BINS - 1 else (low, step_mel)
    centres[-1] = float(BINS - 1)
    result = np.asarray(centres)
    result.setflags(write=False)
    return result


@functools.cache
def band_matrix(bands: int) -> NDArray[np.float32]:
    """Triangular weights, float32 ``[257, bands]``, each row sums to one.

    ``magnitude @ (matrix / matrix.sum(0))`` averages bins into bands; ``mask @ matrix.T``
    interpolates a band mask back to bins and maps an all-ones mask to a gain of one everywhere.
    """
    bins = np.arange(BINS, dtype=np.float64)
    centres = band_centres(bands)
    matrix = np.stack([np.interp(bins, centres, row) for row in np.eye(bands)], axis=1)
    result = matrix.astype(np.float32)
    result.setflags(write=False)
    return result
