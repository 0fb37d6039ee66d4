"""The prepared corpus: from a list of clips to the stores a training run opens."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
HELD_OUT_EXTRAS = Extras(babble_minutes=10)
ROLES = ("speech", "noise")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SplitSummary:
    """Minutes of recordings that went in and of audio that came out for one split and role."""

    split: str
    role: str
    recorded: StoreSummary
    rendered: StoreSummary


def prepare(
    clips: Iterable[Clip],
    folder: Path,
    *,
    seed: int = 0,
    train_extras: Extras = TRAIN_EXTRAS,
    held_out_extras: Extras = HELD_OUT_EXTRAS,
    rooms: int = 240,
    progress: Progress | None = None,
) -> list[SplitSummary]:
    """Build `folder/<split>/<role>` for every split and role that has clips.

    `folder/recorded/...` holds the decoded recordings while the rest is rendered, and is removed
    at the end. `progress` gets (what is being done, done, total).

    Raises:
        StoreError: a split has clips, but not one usable file.
    """
    chosen: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        chosen.setdefault((clip.split, clip.role), []).append(clip)
    render_rooms(folder / ROOMS_NAME, rooms, seed=seed)
    summaries = []
    for split in SPLITS:
        extras = train_extras if split == "train" else held_out_extras
        for role in ROLES:
            if (split, role) in chosen:
                group = chosen[split, role]
                summaries.append(_split(group, folder, split, role, extras, seed, progress))
    shutil.rmtree(folder / "recorded", ignore_errors=True)
    return summaries


def open_split(folder: Path, split: str) -> tuple[Store, Store]:
    """(speech, noise) of one split of a prepared corpus."""
    return Store(folder / split / "speech"), Store(folder / split / "noise")


def open_rooms(folder: Path) -> np.ndarray:
    """Room responses of a prepared corpus, float32 [count, samples]."""
    rooms: np.ndarray = np.load(folder / ROOMS_NAME, allow_pickle=False)
    return rooms


def _split(
    clips: list[Clip],
    folder: Path,
    split: str,
    role: str,
    extras: Extras,
    seed: int,
    progress: Progress | None,
) -> SplitSummary:
    def report(what: str) -> Callable[[int, int], None]:
        return lambda done, total: (
            progress(f"{what} {split} {role}", done, total) if progress else None
        )

    decoding = report("decode")
    recorded = folder / "recorded" / split / role
    decoded = build_store(clips, recorded, progress=lambda done: decoding(done, len(clips)))
    render = render_speech if role == "speech" else render_noise
    stream = seed * len(SPLITS) * len(ROLES) + SPLITS.index(split) * len(ROLES) + ROLES.index(role)
    target = folder / split / role
    rendered = render(Store(recorded), target, extras, seed=stream, progress=report("render"))
    shutil.rmtree(recorded)
    return SplitSummary(split, role, decoded, rendered)
