"""Clips to look at and to listen to."""

import dataclasses

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.dsp import stft
from pipeline.reporting.embed import png

RANGE_DB = 70.0
_COLORS = 64


@dataclasses.dataclass(frozen=True)
class Track:
    """One version of a clip.

    Attributes:
        label: its name for people.
        signal: float32 ``[samples]`` at 16 kHz.
        si_sdr_db: against the clean version; None for the clean version itself.
    """

    label: str
    signal: NDArray[np.float32]
    si_sdr_db: float | None


@dataclasses.dataclass(frozen=True)
class Clip:
    """Versions of one clip, what is heard in it, and whose recordings they are."""

    name: str
    description: str
    credits: tuple[str, ...]
    tracks: tuple[Track, ...]


def spectrograms(clip: Clip) -> list[str]:
    """PNG data URI of each track, 0 to 8 kHz upwards, on one scale for all of them."""
    magnitudes = [np.abs(stft(track.signal)) for track in clip.tracks]
    loudest = max(max(float(magnitude.max()) for magnitude in magnitudes), 1e-9)
    return [_spectrogram(magnitude, loudest) for magnitude in magnitudes]


def _spectrogram(magnitude: NDArray[np.float32], loudest: float) -> str:
    """Picture of ``[frames, bins]``; black is `RANGE_DB` below the loudest."""
    level_db = 20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-RANGE_DB / 20)))
    index = np.rint((level_db / RANGE_DB + 1) * (_COLORS - 1)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(index.T[::-1])).convert("P")
    palette = matplotlib.colormaps["magma"](np.linspace(0, 1, _COLORS), bytes=True)[:, :3]
    image.putpalette(np.ascontiguousarray(palette).tobytes())
    return png(image)
