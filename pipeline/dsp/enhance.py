"""Audio in, audio out: analysis, a band mask from anywhere, synthesis."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.dsp.analysis import analyse
from pipeline.dsp.bands import band_matrix
from pipeline.dsp.frontend import FrontEnd
from pipeline.dsp.stft import istft, stft

Array = NDArray[np.float32]


def enhance(noisy: Array, front_end: FrontEnd, mask_of: Callable[[Array], Array]) -> Array:
    """Enhance ``[samples]`` float32 audio at 16 kHz.

    Args:
        noisy: the mixture.
        front_end: turns audio into features and band masks into bin gains.
        mask_of: features ``[frames, bands]`` -> mask ``[frames, bands]``.
    """
    spectrum, features = analyse(noisy, front_end)
    return istft(spectrum * front_end.gains(mask_of(features)), noisy.shape[-1])


def ideal_ratio_mask(noisy: Array, clean: Array, bands: int) -> Array:
    """Enhance with the mask an oracle would give: the bound of any mask on these bands.

    ``sqrt(S / (S + N))`` of the band energies of speech and noise (Wang, Narayanan & Wang, 2014).
    """
    spectrum = stft(noisy)
    matrix = band_matrix(bands)
    speech = np.square(np.abs(stft(clean))) @ matrix
    noise = np.square(np.abs(spectrum - stft(clean))) @ matrix
    mask = np.sqrt(speech / np.maximum(speech + noise, np.float32(1e-12)))
    return istft(spectrum * (mask @ matrix.T), noisy.shape[-1])
