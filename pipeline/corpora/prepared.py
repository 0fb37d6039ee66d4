"""The prepared corpus: from a list of clips to the stores a training run opens."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.corpora.augment import (
    ROOMS_NAME,
    Extras,
    render_noise,
    render_rooms,
    render_speech,
)
from pipeline.corpora.store import SPLITS, Clip, Store, StoreSummary, build_store

TRAIN_EXTRAS = Extras(
    speech_speed_copies=5, noise_speed_copies=5, babble_minutes=90, procedural_minutes=180
)
ROLES = ("speech", "noise")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SplitSummary:
    """What one split and role recorded, and how much audio its store holds with the extras."""

    split: str
    role: str
    recorded: StoreSummary
    stored_duration_s: float


def prepare(
    clips: Iterable[Clip],
    folder: Path,
    *,
    seed: int = 0,
    extras: Extras = TRAIN_EXTRAS,
    rooms: int = 240,
    progress: Progress | None = None,
) -> list[SplitSummary]:
    """Build `folder/<split>/<role>` for every split and role that has clips.

    Valid and test hold the recordings as they are; train gets the extras. `progress` gets (what
    is being done, done, total).

    Raises:
        StoreError: a split has clips, but not one usable file.
    """
    chosen: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        chosen.setdefault((clip.split, clip.role), []).append(clip)
    render_rooms(folder / ROOMS_NAME, rooms, seed=seed)
    summaries = []
    for split in SPLITS:
        for role in ROLES:
            group = chosen.get((split, role))
            if not group:
                continue
            target = folder / split / role
            recordings = folder / "recorded" / role if split == "train" else target
            recorded = build_store(group, recordings, progress=_counted(progress, target, group))
            if split == "train":
                _render(role, recordings, target, extras, seed, progress)
            summaries.append(SplitSummary(split, role, recorded, Store(target).duration_s))
    return summaries


def open_split(folder: Path, split: str) -> tuple[Store, Store]:
    """(speech, noise) of one split of a prepared corpus."""
    return Store(folder / split / "speech"), Store(folder / split / "noise")


def open_rooms(folder: Path) -> np.ndarray:
    """Room responses of a prepared corpus, float32 [count, samples]."""
    rooms: np.ndarray = np.load(folder / ROOMS_NAME, allow_pickle=False)
    return rooms


def _render(
    role: str,
    recordings: Path,
    target: Path,
    extras: Extras,
    seed: int,
    progress: Progress | None,
) -> None:
    render = render_speech if role == "speech" else render_noise
    report = partial(progress, f"render train {role}") if progress else None
    stream = 2 * seed + ROLES.index(role)
    render(Store(recordings), target, extras, seed=stream, progress=report)
    shutil.rmtree(recordings.parent)


def _counted(
    progress: Progress | None, target: Path, clips: list[Clip]
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    what = f"decode {target.parent.name} {target.name}"
    return lambda done: progress(what, done, len(clips))
