"""Audio -> spectra and features, at once or hop by hop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.dsp.conditioning import Conditioner
from pipeline.dsp.frontend import FrontEnd
from pipeline.dsp.stft import HOP_SAMPLES, stft, transform, whole_hops

Array = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


class Analyser:
    """Analyses one stream, or several in step, given whole hops at a time."""

    def __init__(self, front_end: FrontEnd, streams: int = 1) -> None:
        """Start the streams, with a hop of zeros before them."""
        self._front_end = front_end
        self._conditioner = Conditioner(streams) if front_end.conditioned else None
        self._history = np.zeros((streams, HOP_SAMPLES), np.float32)

    def __call__(self, hops: Array) -> tuple[Spectrum, Array]:
        """Take the next whole hops of every stream.

        Args:
            hops: float32 ``[streams, frames * 256]``.

        Returns:
            Spectra ``[streams, frames, 257]`` of the audio at its own level, without its offset if
            the front end is conditioned, and features ``[streams, frames, bands]``.
        """
        gains = None
        if self._conditioner:
            hops, gains = self._conditioner(hops)
        spectra = transform(np.concatenate([self._history, hops], axis=-1))
        self._history = hops[:, -HOP_SAMPLES:]
        return spectra, self._front_end.features(np.abs(spectra), gains)


def analyse(signal: Array, front_end: FrontEnd) -> tuple[Spectrum, Array]:
    """Spectra ``[..., frames, 257]`` and features ``[..., frames, bands]`` of whole signals.

    Args:
        signal: float32 ``[..., samples]``, each a stream from its beginning.
        front_end: see `Analyser`.
    """
    hops = whole_hops(signal)
    rows = hops.reshape(-1, hops.shape[-1])
    spectra, features = Analyser(front_end, len(rows))(rows)
    leading = signal.shape[:-1]
    return (
        spectra.reshape(*leading, *spectra.shape[1:]),
        features.reshape(*leading, *features.shape[1:]),
    )


def measure_front_end(mixtures: Array, bands: int) -> FrontEnd:
    """A conditioned front end, standardized on mixtures ``[batch, samples]``."""
    samples, gains = Conditioner(len(mixtures))(whole_hops(mixtures))
    # The last frame of the transform belongs to the hop behind the one that conditioning has seen.
    return FrontEnd.measure(np.abs(stft(samples)[:, :-1]), gains, bands)
