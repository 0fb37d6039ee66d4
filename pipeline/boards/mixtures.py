"""The fixed test mixtures, as the 16-bit audio that goes into a board."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.corpora import embedded
from pipeline.corpora.prepared import Corpus
from pipeline.corpora.store import Store, build_store
from pipeline.corpora.testset import LISTS_DIR, Mixture, load_mixtures
from pipeline.errors import InputError

FULL_SCALE = 32768
_LIST = LISTS_DIR / "embedded_test.json"


@dataclass(frozen=True)
class BoardMixture:
    """A mixture at 16 kHz: noisy int16 [N], clean float32 [N]."""

    name: str
    snr_db: float
    noisy: NDArray[np.int16]
    clean: NDArray[np.float32]

    @classmethod
    def of(cls, mixture: Mixture) -> Self:
        """A mixture as a board is given it."""
        noisy, clean = to_pcm(mixture.noisy), np.array(mixture.clean)
        return cls(mixture.name, mixture.snr_db, noisy, clean)


def to_pcm(signal: NDArray[np.float32]) -> NDArray[np.int16]:
    """[-1, 1) to 16 bits, nearest, saturated, as the firmware writes samples."""
    scaled = np.rint(signal * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1)
    return scaled.astype(np.int16)


def board_mixtures(corpus: Path | None = None, per_snr: int | None = None) -> list[BoardMixture]:
    """Test mixtures of a prepared corpus; without one, those of the recordings in this package.

    Args:
        corpus: folder `prepare/corpus` of a run.
        per_snr: how many of each SNR, the first ones of the list; None for all.

    Raises:
        InputError: `per_snr` is below 1, or the corpus is damaged or not one.
    """
    if per_snr is not None and per_snr < 1:
        raise InputError(f"mixtures per SNR: expected at least 1, got {per_snr}")
    if corpus is not None:
        return _first(Corpus(corpus).mixtures("test"), per_snr)
    clips = [clip for clip in embedded.clips() if clip.split == "test"]
    with tempfile.TemporaryDirectory() as name:
        stores = []
        for role in ("speech", "noise"):
            folder = Path(name) / role
            build_store((clip for clip in clips if clip.role == role), folder)
            stores.append(Store(folder))
        return _first(load_mixtures(_LIST, *stores), per_snr)


def _first(mixtures: Iterator[Mixture], per_snr: int | None) -> list[BoardMixture]:
    taken: Counter[float] = Counter()
    chosen = []
    for mixture in mixtures:
        taken[mixture.snr_db] += 1
        if per_snr is None or taken[mixture.snr_db] <= per_snr:
            chosen.append(BoardMixture.of(mixture))
    return chosen
