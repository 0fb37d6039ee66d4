"""A packed audio store: one flat 16 kHz int16 file and one JSON index, read piece by piece.

A store of any size costs no more memory than the crops cut from it, so a corpus far larger than
memory streams. Bad files are left out when it is built, so nothing can fail in mid-epoch.
"""

from __future__ import annotations

import json
import os
import shutil
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.corpora.audio import (
    MIN_DURATION_S,
    RATE_HZ,
    AudioFileError,
    active_level_dbfs,
    load_mono,
    trim_silence,
)

SPLITS = ("train", "valid", "test")
INDEX_NAME = "index.json"
AUDIO_NAME = "audio.i16"
_FORMAT = 1
_NOISE_TRIM_DB = 60.0


class StoreError(ValueError):
    """A store that is missing, damaged or empty."""


@dataclass(frozen=True)
class Clip:
    """One file to be packed.

    Attributes:
        path: where it lies.
        name: stable, unique name, the same on every machine.
        source: package or corpus it comes from.
        speaker: who is heard; clips of one speaker may be joined into one crop.
        licence: licence of the recording.
        kind: "speech", "voice" (raw material of babble), "ambience", "impulsive", "music", ...
        role: "speech" or "noise".
        split: "train", "valid" or "test".
        weight: how often its speaker is drawn in mixing, relative to others.
    """

    path: Path
    name: str
    source: str
    speaker: str
    licence: str
    kind: str
    role: str
    split: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One entry of the index; `start` and `length` count samples, `level_dbfs` is active level."""

    name: str
    source: str
    speaker: str
    licence: str
    kind: str
    start: int
    length: int
    level_dbfs: float
    weight: float


@dataclass(frozen=True)
class StoreSummary:
    """What went in, and one line for each file that did not."""

    clips: int
    duration_s: float
    skipped: tuple[str, ...]

    @property
    def minutes(self) -> float:
        return self.duration_s / 60


class Store:
    """Read access: `read` cuts float32 audio out of the file.

    `clips` is the index, `skipped` one line for each file that was left out.
    """

    def __init__(self, folder: Path | str) -> None:
        """Open a store.

        Raises:
            StoreError: no store there, another format version, or index and audio disagree.
        """
        self.folder = Path(folder)
        try:
            index = json.loads((self.folder / INDEX_NAME).read_text(encoding="utf-8"))
            audio_bytes = (self.folder / AUDIO_NAME).stat().st_size
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.folder}: holds no audio store ({error.filename} is missing); prepare the "
                "corpus first"
            ) from error
        except ValueError as error:
            raise self._damaged(f"index is not JSON ({error})") from error
        if not isinstance(index, dict) or index.get("format") != _FORMAT:
            raise self._damaged(f"index is not of format {_FORMAT}")
        try:
            self.clips = tuple(StoredClip(**entry) for entry in index["clips"])
            self.skipped: tuple[str, ...] = tuple(index["skipped"])
        except (KeyError, TypeError) as error:
            raise self._damaged(f"index entry is wrong ({error})") from error
        end = max((clip.start + clip.length for clip in self.clips), default=0)
        if not self.clips or audio_bytes < 2 * end or min(c.start for c in self.clips) < 0:
            raise self._damaged(f"index names {end} samples, audio holds {audio_bytes // 2}")
        # Plain positioned reads: pages of a memory map would count as memory of the process, and
        # waiting for one would hold the interpreter lock.
        self._descriptor = os.open(self.folder / AUDIO_NAME, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, length: int) -> np.ndarray:
        """float32 [length] in -1..1 from sample `start` of the whole store on."""
        data = os.pread(self._descriptor, 2 * length, 2 * start)
        if len(data) < 2 * length:
            raise self._damaged(f"audio ends before sample {start + length}")
        return np.frombuffer(data, "<i2") * np.float32(1 / 32768)

    def read_clip(self, clip: StoredClip) -> np.ndarray:
        """float32 [clip.length]: one whole clip."""
        return self.read(clip.start, clip.length)

    @property
    def duration_s(self) -> float:
        return sum(clip.length for clip in self.clips) / RATE_HZ

    def _damaged(self, what: str) -> StoreError:
        return StoreError(f"{self.folder}: {what}; delete the folder and prepare the corpus again")


class StoreWriter:
    """Appends clips to a store under a temporary name; `close` makes it appear, whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._audio = (self._partial / AUDIO_NAME).open("wb")
        self._clips: list[StoredClip] = []
        self._position = 0

    def append(
        self,
        samples: np.ndarray,
        *,
        name: str,
        source: str,
        speaker: str,
        licence: str,
        kind: str,
        weight: float = 1.0,
    ) -> None:
        """Add float [samples]; what exceeds full scale is scaled down, never wrapped."""
        peak = float(np.abs(samples).max(initial=1e-9))
        scaled = samples * min(1.0, 1.0 / peak)
        steps = np.round(scaled * 32768).clip(-32768, 32767)
        self._audio.write(steps.astype("<i2").tobytes())
        self._clips.append(
            StoredClip(
                name=name,
                source=source,
                speaker=speaker,
                licence=licence,
                kind=kind,
                start=self._position,
                length=len(samples),
                level_dbfs=round(active_level_dbfs(scaled), 2),
                weight=weight,
            )
        )
        self._position += len(samples)

    def close(self, skipped: Iterable[str] = ()) -> StoreSummary:
        """Write the index, then put the finished store in place of any older one."""
        self._audio.close()
        skipped = tuple(skipped)
        if not self._clips:
            shutil.rmtree(self._partial)
            raise StoreError(
                f"{self._folder}: no usable audio file among {len(skipped)}"
                + "".join(f"\n  {line}" for line in skipped[:5])
            )
        index = {
            "format": _FORMAT,
            "rate_hz": RATE_HZ,
            "clips": [asdict(clip) for clip in self._clips],
            "skipped": skipped,
        }
        text = json.dumps(index, indent=0, ensure_ascii=False)
        (self._partial / INDEX_NAME).write_text(text, encoding="utf-8")
        shutil.rmtree(self._folder, ignore_errors=True)
        os.rename(self._partial, self._folder)
        return StoreSummary(len(self._clips), self._position / RATE_HZ, skipped)


def build_store(
    clips: Iterable[Clip],
    folder: Path,
    *,
    workers: int = 2,
    progress: Callable[[int], None] | None = None,
) -> StoreSummary:
    """Decode, trim and pack clips in order, leaving bad files out.

    Args:
        clips: what to pack; consumed lazily.
        folder: where the store appears once it is whole.
        workers: decoder threads (the decoders release the interpreter lock).
        progress: called with the number of files done so far.

    Raises:
        StoreError: not one usable file.
    """
    writer = StoreWriter(folder)
    skipped: list[str] = []
    for done, (clip, samples) in enumerate(_decoded(clips, workers), start=1):
        if isinstance(samples, AudioFileError):
            skipped.append(str(samples))
        else:
            writer.append(samples, **clip_labels(clip))
        if progress:
            progress(done)
    return writer.close(skipped)


def clip_labels(clip: Clip | StoredClip) -> dict[str, Any]:
    """What `StoreWriter.append` needs to know of a clip besides its samples."""
    return {
        "name": clip.name,
        "source": clip.source,
        "speaker": clip.speaker,
        "licence": clip.licence,
        "kind": clip.kind,
        "weight": clip.weight,
    }


def _decoded(
    clips: Iterable[Clip], workers: int
) -> Iterator[tuple[Clip, np.ndarray | AudioFileError]]:
    """Decode in threads, in order, with a bounded number of files in memory."""
    waiting: deque[tuple[Clip, Future[np.ndarray | AudioFileError]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for clip in clips:
            waiting.append((clip, pool.submit(_decode, clip)))
            if len(waiting) >= 4 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _decode(clip: Clip) -> np.ndarray | AudioFileError:
    try:
        samples = load_mono(clip.path)
        if clip.role == "noise":
            return trim_silence(samples, range_db=_NOISE_TRIM_DB)
        trimmed = trim_silence(samples)
        if trimmed.size < MIN_DURATION_S * RATE_HZ:
            raise AudioFileError(
                clip.path,
                f"too short: {trimmed.size / RATE_HZ:.2f} s of sound",
                f"at least {MIN_DURATION_S} s is needed",
            )
        return trimmed
    except AudioFileError as error:
        return error
