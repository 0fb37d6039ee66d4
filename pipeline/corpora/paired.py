"""Ready-made pairs of clean and noisy speech: packing them aligned, and cutting crops."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.corpora.audio import (
    RATE_HZ,
    AudioFileError,
    active_power,
    load_mono,
    printable,
    to_db,
)
from pipeline.corpora.mixing import cumulative_shares, draw_index
from pipeline.corpora.store import (
    Clip,
    Duplicates,
    Store,
    StoredClip,
    StoreError,
    StoreSummary,
    StoreWriter,
    clip_labels,
)
from pipeline.corpora.testset import Mixture

MAX_LENGTH_DIFFERENCE_S = 0.02
MAX_SCORED_S = 10.0
SNR_GROUP_DB = 3.0
MAX_SNR_DB = 60.0
_SPEECH_FLOOR_POWER = 10 ** (-70 / 10)
_PEAK = 0.98


def build_paired_stores(
    clean: Sequence[Clip],
    noisy: Sequence[Clip],
    clean_folder: Path,
    noisy_folder: Path,
    *,
    duplicates: Duplicates,
    progress: Callable[[int, int], None] | None = None,
) -> StoreSummary:
    """Pack clips of the same name into two stores, at the same places, nothing trimmed.

    Constant offsets are removed. Left out are pairs with one bad file, pairs whose lengths differ
    by more than 20 ms, pairs of two equal recordings, and noisy recordings in `duplicates`.

    Raises:
        StoreError: not one usable pair.
    """
    clean_clips = {clip.name: clip for clip in clean}
    clean_writer, noisy_writer = StoreWriter(clean_folder), StoreWriter(noisy_folder)
    used: set[Path] = set()
    failures: list[tuple[AudioFileError, tuple[Path, Path]]] = []
    for done, clip in enumerate(noisy, start=1):
        paths = clean_clips[clip.name].path, clip.path
        try:
            clean_samples, noisy_samples = _load(*paths)
            duplicates.check(clip, noisy_samples)
        except AudioFileError as error:
            failures.append((error, paths))
        else:
            used.update(paths)
            clean_writer.append(clean_samples, **clip_labels(clip))
            noisy_writer.append(noisy_samples, **clip_labels(clip))
        if progress:
            progress(done, len(noisy))
    left_out = _both_halves(failures, used)
    summary = clean_writer.close(left_out)
    noisy_writer.close(left_out)
    return summary


def _both_halves(
    failures: Sequence[tuple[AudioFileError, tuple[Path, Path]]], used: Collection[Path]
) -> list[AudioFileError]:
    """What is wrong with pairs, and their halves that nothing is wrong with and no pair uses."""
    named = {error.path: error for error, _ in failures}
    for error, paths in failures:
        for path in paths:
            if path not in used and str(path) not in named:
                named[str(path)] = AudioFileError(
                    path,
                    f"the other half of its pair, {printable(error.path)}, is left out",
                    "see there",
                )
    return list(named.values())


class PairedMixer:
    """Aligned crops of ready-made pairs at random level; the counterpart of `Mixer`."""

    def __init__(
        self,
        clean: Store,
        noisy: Store,
        *,
        crop_samples: int,
        seed: int,
        level_dbfs: tuple[float, float] = (-40.0, -15.0),
    ) -> None:
        """Set up cutting; T is `crop_samples`, `level_dbfs` the active level of the clean crop.

        Raises:
            StoreError: the two stores do not belong together.
        """
        check_paired(clean, noisy)
        self._clean, self._noisy = clean, noisy
        self._crop_samples = crop_samples
        self._seed = seed
        self._level_dbfs = level_dbfs
        self._shares = cumulative_shares(np.array([clip.length for clip in clean.clips], float))

    def batch(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """(noisy, clean), both float32 [batch_size, crop_samples]; a function of (seed, step)."""
        rng = np.random.default_rng([self._seed, step])
        noisy = np.zeros((batch_size, self._crop_samples), np.float32)
        clean = np.zeros_like(noisy)
        for row in range(batch_size):
            position = 0
            while position < self._crop_samples:
                number = draw_index(self._shares, rng)
                clip = self._clean.clips[number]
                length = min(clip.length, self._crop_samples - position)
                start = clip.start + int(rng.integers(clip.length - length + 1))
                clean[row, position : position + length] = self._clean.read(start, length)
                noisy[row, position : position + length] = self._noisy.read(start, length)
                position += length
        level = 10 ** (rng.uniform(*self._level_dbfs, batch_size) / 10)
        gain = np.sqrt(level / np.maximum(active_power(clean), _SPEECH_FLOOR_POWER))
        peak = np.maximum(np.abs(noisy).max(axis=1), np.abs(clean).max(axis=1))
        gain = np.minimum(gain, _PEAK / np.maximum(peak, 1e-9)).astype(np.float32)[:, None]
        return noisy * gain, clean * gain


def check_paired(clean: Store, noisy: Store) -> None:
    """Refuse two stores whose clips are not the same at the same places."""
    places = [
        [(clip.name, clip.start, clip.length) for clip in store.clips] for store in (clean, noisy)
    ]
    if places[0] != places[1]:
        raise StoreError(
            f"{noisy.folder}: does not belong to {clean.folder}; prepare the corpus again"
        )


def scored_pairs(clips: Sequence[StoredClip], count: int) -> Sequence[StoredClip]:
    """Up to `count` clips, evenly spread."""
    return clips[:: -(-len(clips) // count)]


def scoring_note(part: str, clips: Sequence[StoredClip], count: int) -> str | None:
    """What of the pairs of a part is not scored; None if all are, from end to end."""
    scored = scored_pairs(clips, count)
    cut = sum(clip.length > MAX_SCORED_S * RATE_HZ for clip in scored)
    if len(scored) == len(clips) and not cut:
        return None
    return (
        f"{part}: {len(scored)} of {len(clips)} pairs are scored, evenly spread, {cut} of them cut "
        f"to the {MAX_SCORED_S:g} s of most speech"
    )


def paired_mixtures(clean: Store, noisy: Store, *, count: int) -> Iterator[Mixture]:
    """Up to `count` whole pairs, evenly spread over the store, in its order.

    Of a pair longer than 10 s the 10 s are taken in which the clean recording has most energy.

    The SNR is measured, active power of the clean recording over power of the difference, at most
    60 dB, and rounded to a multiple of 3 dB, so that tables have a column for each of a few groups.
    """
    check_paired(clean, noisy)
    kinds = {clip.name: clip.kind for clip in noisy.clips}
    for clip in scored_pairs(clean.clips, count):
        start, length = clip.start, clip.length
        if length > MAX_SCORED_S * RATE_HZ:
            length = round(MAX_SCORED_S * RATE_HZ)
            start += _loudest(clean.read_clip(clip), length)
        target, mixed = (store.read(start, length) for store in (clean, noisy))
        noise_power = float(np.mean((mixed - target) ** 2))
        snr_db = min(to_db(float(active_power(target))) - to_db(noise_power), MAX_SNR_DB)
        yield Mixture(
            name=clip.name,
            noisy=mixed,
            clean=target,
            snr_db=SNR_GROUP_DB * round(snr_db / SNR_GROUP_DB),
            noise_kind=kinds[clip.name],
        )


def _loudest(samples: np.ndarray, length: int) -> int:
    """Where the `length` samples of most energy begin."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    return int(np.argmax(energy[length:] - energy[:-length]))


def _load(clean_path: Path, noisy_path: Path) -> tuple[np.ndarray, np.ndarray]:
    clean, noisy = load_mono(clean_path), load_mono(noisy_path)
    difference_s = abs(clean.size - noisy.size) / RATE_HZ
    if difference_s > MAX_LENGTH_DIFFERENCE_S:
        raise AudioFileError(
            noisy_path,
            f"lasts {noisy.size / RATE_HZ:.2f} s, its clean file {clean.size / RATE_HZ:.2f} s",
            f"pair it with the recording it was made from, not {printable(clean_path)}",
        )
    samples = min(clean.size, noisy.size)
    clean, noisy = (side[:samples] - side.mean() for side in (clean, noisy))
    if np.array_equal(clean, noisy):
        raise AudioFileError(
            noisy_path, f"the same recording as its clean file {printable(clean_path)}", "remove it"
        )
    peak = max(float(np.abs(clean).max()), float(np.abs(noisy).max()))
    gain = min(1.0, 1.0 / peak)
    return clean * gain, noisy * gain
