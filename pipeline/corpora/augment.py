"""What is worth rendering once, before training: speed copies, babble, noise, rooms.

Everything here is written into ordinary stores, so that mixing stays cheap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from scipy import signal

from pipeline.corpora.audio import RATE_HZ
from pipeline.corpora.procedural import synthesize
from pipeline.corpora.rooms import room_response
from pipeline.corpora.store import Store, StoredClip, StoreSummary, StoreWriter, clip_labels

SPEECH_SPEEDS = (0.85, 1.18)
NOISE_SPEEDS = (0.7, 1.4)
VOICE = "voice"
BABBLE = "babble"
_NOMINAL_DBFS = -26.0
_LOWEST_VOICE_HZ = 40.0
_SEGMENT_S = 10.0
_MAX_NOISE_COPIES_S = 10 * 3600.0


@dataclass(frozen=True)
class Extras:
    """How much to render besides the recordings themselves."""

    speech_speed_copies: int = 0
    noise_speed_copies: int = 0
    babble_minutes: float = 0.0
    procedural_minutes: float = 0.0


def render_speech(
    recorded: Store,
    clips: Sequence[StoredClip],
    folder: Path,
    extras: Extras,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> StoreSummary:
    """`clips` of a store plus `speech_speed_copies` of each, every copy at one speed a speaker.

    What lies below any voice, offset and rumble of the recording, is taken out of the target.
    A copy counts as another speaker (`name@speed`), so one crop never mixes two speeds.
    """
    writer = StoreWriter(folder)
    speeds = {
        speaker: _speeds(_rng(seed, index), SPEECH_SPEEDS, extras.speech_speed_copies)
        for index, speaker in enumerate(sorted({clip.speaker for clip in clips}))
    }
    for done, clip in enumerate(clips, start=1):
        samples = without_rumble(recorded.read_clip(clip))
        _append(writer, clip, samples)
        for speed in speeds[clip.speaker]:
            _append(writer, clip, change_speed(samples, speed), suffix=f"@{speed:.3f}")
        if progress:
            progress(done, len(clips))
    return writer.close()


def render_noise(
    recorded: Store,
    clips: Sequence[StoredClip],
    folder: Path,
    extras: Extras,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> StoreSummary:
    """`clips` of a store with speed copies, babble out of those of kind "voice", synthesis.

    All copies of one kind of noise are at most ten hours: the more there is of it, the fewer.
    """
    writer = StoreWriter(folder)
    noises = [clip for clip in clips if clip.kind != VOICE]
    voices = [clip for clip in clips if clip.kind == VOICE]
    babbles = round(extras.babble_minutes * 60 / _SEGMENT_S) if voices else 0
    syntheses = round(extras.procedural_minutes * 60 / _SEGMENT_S)
    total = len(noises) + babbles + syntheses
    copies = _noise_copies(noises, extras.noise_speed_copies)
    for done, clip in enumerate(noises, start=1):
        samples = recorded.read_clip(clip)
        _append(writer, clip, samples)
        for speed in _speeds(_rng(seed, 1, done), NOISE_SPEEDS, copies[clip.kind]):
            _append(writer, clip, change_speed(samples, speed), suffix=f"@{speed:.3f}")
        if progress:
            progress(done, total)
    licences = ", ".join(sorted({clip.licence for clip in voices}))
    for index in range(babbles):
        writer.append(
            babble(recorded, voices, _rng(seed, 2, index)),
            name=f"{BABBLE}/{index:04d}",
            source=voices[0].source,
            speaker=f"{BABBLE}/{index:04d}",
            licence=licences,
            kind=BABBLE,
        )
        if progress:
            progress(len(noises) + index + 1, total)
    for index in range(syntheses):
        generator, samples = synthesize(_rng(seed, 3, index), round(_SEGMENT_S * RATE_HZ))
        writer.append(
            samples,
            name=f"procedural/{generator}/{index:05d}",
            source="procedural",
            speaker=f"procedural/{index:05d}",
            licence="none (synthesized)",
            kind="procedural",
        )
        if progress:
            progress(len(noises) + babbles + index + 1, total)
    return writer.close()


def render_rooms(path: Path, count: int, *, seed: int) -> np.ndarray:
    """Write `count` room responses as one .npy, float32 [count, samples], and return them."""
    rooms = np.stack([room_response(_rng(seed, 4, index)) for index in range(count)])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, rooms, allow_pickle=False)
    partial.replace(path)
    return rooms


def without_rumble(samples: np.ndarray) -> np.ndarray:
    """float [samples] without what lies below 40 Hz (zero-phase Butterworth)."""
    edges = signal.butter(2, _LOWEST_VOICE_HZ, "highpass", fs=RATE_HZ, output="sos")
    kept: np.ndarray = signal.sosfiltfilt(edges, samples, padtype="constant")
    return kept


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Play float [samples] `speed` times as fast: tempo, pitch and formants move together."""
    resampled: np.ndarray = soxr.resample(samples, RATE_HZ * speed, RATE_HZ)
    return resampled


def babble(store: Store, voices: Sequence[StoredClip], rng: np.random.Generator) -> np.ndarray:
    """Three to eight voices talking at once for 10 s, half the time in a room; float [160000]."""
    samples = round(_SEGMENT_S * RATE_HZ)
    mixed = np.zeros(samples)
    speakers = sorted({clip.speaker for clip in voices})
    for _ in range(rng.integers(3, 9)):
        speaker = speakers[rng.integers(len(speakers))]
        lines = [clip for clip in voices if clip.speaker == speaker]
        mixed += 10 ** (rng.uniform(-8, 0) / 20) * _talk(store, lines, rng, samples)
    if rng.random() < 0.5:
        mixed = signal.fftconvolve(mixed, room_response(rng))[:samples]
    level = np.sqrt(np.mean(mixed**2) + 1e-20)
    return np.asarray(mixed * (10 ** (_NOMINAL_DBFS / 20) / level))


def _talk(
    store: Store, lines: Sequence[StoredClip], rng: np.random.Generator, samples: int
) -> np.ndarray:
    """One voice saying random lines at one speed and level until `samples` are full."""
    speed = rng.uniform(*SPEECH_SPEEDS)
    pieces: list[np.ndarray] = []
    length = 0
    while length < samples:
        clip = lines[int(rng.integers(len(lines)))]
        gain = 10 ** ((_NOMINAL_DBFS - clip.level_dbfs) / 20)
        pieces.append(change_speed(store.read_clip(clip) * gain, speed))
        length += pieces[-1].size
    start = rng.integers(0, length - samples + 1)
    return np.concatenate(pieces)[start : start + samples]


def _append(writer: StoreWriter, clip: StoredClip, samples: np.ndarray, suffix: str = "") -> None:
    labels = clip_labels(clip)
    labels |= {"name": clip.name + suffix, "speaker": clip.speaker + suffix}
    writer.append(samples, **labels)


def _noise_copies(noises: Sequence[StoredClip], wanted: int) -> dict[str, int]:
    """How many copies each kind gets: `wanted`, or as many as fit into the limit."""
    samples = Counter[str]()
    for clip in noises:
        samples[clip.kind] += clip.length
    limit = int(_MAX_NOISE_COPIES_S * RATE_HZ)
    return {kind: min(wanted, limit // length) for kind, length in samples.items()}


def _speeds(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> list[float]:
    """`count` random speeds spread evenly over `bounds`."""
    edges = np.linspace(*bounds, count + 1)
    return [float(rng.uniform(low, high)) for low, high in pairwise(edges)]


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, *stream])
