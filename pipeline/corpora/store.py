"""A packed audio store: one flat 16 kHz int16 file and one JSON index, read piece by piece.

A store of any size costs no more memory than the crops cut from it, so a corpus far larger than
memory streams. Bad files are left out when it is built, so nothing can fail in mid-epoch.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    printable,
    trim_silence,
)
from pipeline.errors import InputError

SPLITS = ("train", "valid", "test")
SPEECH, NOISE, NOISY = "speech", "noise", "noisy"
INDEX_NAME = "index.json"
AUDIO_NAME = "audio.i16"
_FORMAT = 1
_LISTED = 20
_NOISE_TRIM_DB = 60.0


class StoreError(InputError):
    """A store that is missing, damaged or empty."""


@dataclass(frozen=True)
class Clip:
    """One file to be packed.

    Attributes:
        path: where it lies.
        name: stable, unique name, the same on every machine.
        source: package or corpus it comes from.
        speaker: who is heard; clips of one speaker may be joined into one crop. "" until the
            material is divided.
        licence: licence of the recording.
        kind: "speech", "voice" (raw material of babble), "ambience", "impulsive", "music", ...
        role: "speech", "noise" or "noisy".
        split: "train", "valid" or "test"; "" until the material is divided.
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
    """What went in, and what is wrong with each file that did not."""

    clips: int
    duration_s: float
    left_out: tuple[AudioFileError, ...] = ()

    @property
    def minutes(self) -> float:
        return self.duration_s / 60


class Store:
    """Read access: `read` cuts float32 audio out of the file; `clips` is the index."""

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

    def close(self, left_out: Iterable[AudioFileError] = ()) -> StoreSummary:
        """Write the index, then put the finished store in place of any older one."""
        self._audio.close()
        left_out = tuple(left_out)
        if not self._clips:
            shutil.rmtree(self._partial)
            where = os.path.commonpath([e.path for e in left_out]) if left_out else self._folder
            what = f"{printable(where)}: no usable audio file among {len(left_out)}"
            raise StoreError(listed(what, left_out))
        index = {
            "format": _FORMAT,
            "rate_hz": RATE_HZ,
            "clips": [asdict(clip) for clip in self._clips],
        }
        text = json.dumps(index, indent=0, ensure_ascii=False)
        (self._partial / INDEX_NAME).write_text(text, encoding="utf-8")
        shutil.rmtree(self._folder, ignore_errors=True)
        os.rename(self._partial, self._folder)
        return StoreSummary(len(self._clips), self._position / RATE_HZ, left_out)


class Duplicates:
    """Finds recordings that were seen before under another name.

    `across_parts` are those that folders name two parts for, (first, again): they are kept.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, list[Clip]] = {}
        self.across_parts: list[tuple[Path, Path]] = []

    def check(self, clip: Clip, samples: np.ndarray) -> None:
        """Remember the float [samples] of a clip.

        Raises:
            AudioFileError: they are known, and not as those of another part.
        """
        earlier = self._seen.setdefault(hashlib.sha256(samples.tobytes()).digest(), [])
        for other in earlier:
            if other.role != clip.role or clip.split in ("", other.split):
                raise AudioFileError(
                    clip.path, f"the same recording as {printable(other.path)}", "it is used once"
                )
        if earlier:
            self.across_parts.append((earlier[0].path, clip.path))
        earlier.append(clip)


def listed(what: str, left_out: Sequence[AudioFileError]) -> str:
    """A message about files that were left out, the first of them below it."""
    more = [f"and {len(left_out) - _LISTED} more"] if len(left_out) > _LISTED else []
    return "\n  ".join([what, *map(str, left_out[:_LISTED]), *more])


def build_store(
    clips: Iterable[Clip],
    folder: Path,
    *,
    workers: int = 2,
    duplicates: Duplicates | None = None,
    progress: Callable[[int], None] | None = None,
) -> StoreSummary:
    """Decode, trim and pack clips in order, leaving bad files out.

    Args:
        clips: what to pack; consumed lazily.
        folder: where the store appears once it is whole.
        workers: decoder threads (the decoders release the interpreter lock).
        duplicates: None packs clips as they are, as lists of mixtures with hashes need them;
            otherwise constant offsets are removed and each recording is packed once.
        progress: called with the number of files done so far.

    Raises:
        StoreError: not one usable file.
    """
    writer = StoreWriter(folder)
    left_out: list[AudioFileError] = []
    decoded = _decoded(clips, workers, center=duplicates is not None)
    for done, (clip, samples) in enumerate(decoded, start=1):
        try:
            if isinstance(samples, AudioFileError):
                raise samples
            if duplicates:
                duplicates.check(clip, samples)
            writer.append(_trimmed(clip, samples), **clip_labels(clip))
        except AudioFileError as error:
            left_out.append(error)
        if progress:
            progress(done)
    return writer.close(left_out)


def copy_clips(store: Store, clips: Iterable[StoredClip], folder: Path) -> StoreSummary:
    """Copy clips of a store, with labels of the caller's, into a store of their own."""
    writer = StoreWriter(folder)
    for clip in clips:
        writer.append(store.read_clip(clip), **clip_labels(clip))
    return writer.close()


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
    clips: Iterable[Clip], workers: int, center: bool
) -> Iterator[tuple[Clip, np.ndarray | AudioFileError]]:
    """Decode in threads, in order, with a bounded number of files in memory."""
    waiting: deque[tuple[Clip, Future[np.ndarray | AudioFileError]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for clip in clips:
            waiting.append((clip, pool.submit(_decode, clip, center)))
            if len(waiting) >= 4 * workers:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _decode(clip: Clip, center: bool) -> np.ndarray | AudioFileError:
    try:
        samples = load_mono(clip.path)
    except AudioFileError as error:
        return error
    return samples - samples.mean() if center else samples


def _trimmed(clip: Clip, samples: np.ndarray) -> np.ndarray:
    """Without silence at both ends.

    Raises:
        AudioFileError: hardly any speech is left.
    """
    if clip.role == NOISE:
        return trim_silence(samples, range_db=_NOISE_TRIM_DB)
    trimmed = trim_silence(samples)
    if trimmed.size < MIN_DURATION_S * RATE_HZ:
        raise AudioFileError(
            clip.path,
            f"too short: {trimmed.size / RATE_HZ:.2f} s of sound",
            f"at least {MIN_DURATION_S} s is needed",
        )
    return trimmed
