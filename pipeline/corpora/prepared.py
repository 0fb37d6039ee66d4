"""The prepared corpus: stores for train, valid and test, room responses, fixed mixtures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.corpora.audio import RATE_HZ, AudioFileError, printable
from pipeline.corpora.augment import Extras, render_noise, render_rooms, render_speech
from pipeline.corpora.listing import FolderError
from pipeline.corpora.material import Material
from pipeline.corpora.mixing import Mixer
from pipeline.corpora.paired import (
    PairedMixer,
    build_paired_stores,
    paired_mixtures,
    scoring_note,
)
from pipeline.corpora.parts import is_anonymous
from pipeline.corpora.store import (
    NOISE,
    NOISY,
    SPEECH,
    SPLITS,
    Duplicates,
    Store,
    StoredClip,
    StoreError,
    StoreSummary,
    build_store,
    copy_clips,
    listed,
)
from pipeline.corpora.testset import LISTS_DIR, Mixture, draw_list, load_mixtures, write_list

RECORDED = "recorded"
ROOMS = 240
ROOMS_NAME = "rooms.npy"
LIST_NAME = "mixtures.json"
MIXTURE_SAMPLES = 4 * RATE_HZ
SNRS_DB: Mapping[str, tuple[float, ...]] = {
    "valid": (-5.0, 0.0, 5.0, 10.0),
    "test": (-6.0, -3.0, 0.0, 3.0, 6.0, 9.0),
}
MIXTURES_PER_SNR: Mapping[str, int] = {"valid": 16, "test": 20}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PartSummary:
    """What one role of one part holds.

    Attributes:
        part: "train", "valid" or "test".
        role: "speech", "noise" or "noisy".
        speakers: how many are heard; None where the names of its files do not tell, or of noise.
        files: recordings that are used.
        recorded_min: their length.
        rendered_min: with what was rendered from them.
    """

    part: str
    role: str
    speakers: int | None
    files: int
    recorded_min: float
    rendered_min: float


@dataclass(frozen=True)
class Preparation:
    """What was made of a material.

    Attributes:
        parts: train, valid and test, two roles each.
        left_out: every file that is not used, with the reason.
        notes: what is worth knowing about how the parts came about.
    """

    parts: tuple[PartSummary, ...]
    left_out: tuple[AudioFileError, ...]
    notes: tuple[str, ...]


class Corpus:
    """Read access to a prepared corpus, whatever it was prepared from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paired = (folder / "train" / NOISY).is_dir()

    def mixer(
        self, *, crop_samples: int, seed: int, snr_db: tuple[float, float] = (-5.0, 15.0)
    ) -> Mixer | PairedMixer:
        """Training crops, see `Mixer.batch`; ready-made pairs keep the SNR they have."""
        if self._paired:
            clean, noisy = open_split(self.folder, "train", NOISY)
            return PairedMixer(clean, noisy, crop_samples=crop_samples, seed=seed)
        speech, noise = open_split(self.folder, "train")
        rooms = open_rooms(self.folder)
        return Mixer(
            speech, noise, crop_samples=crop_samples, seed=seed, snr_db=snr_db, rooms=rooms
        )

    def mixtures(self, split: str) -> Iterator[Mixture]:
        """The fixed mixtures of "valid" or "test"; ready-made pairs where that is the corpus."""
        if self._paired:
            clean, noisy = open_split(self.folder, split, NOISY)
            return paired_mixtures(clean, noisy, count=_mixtures_of(split))
        return load_mixtures(self.folder / split / LIST_NAME, *open_split(self.folder, split))


def _mixtures_of(part: str) -> int:
    return MIXTURES_PER_SNR[part] * len(SNRS_DB[part])


def open_split(folder: Path, split: str, other: str = NOISE) -> tuple[Store, Store]:
    """(speech, noise) of one split, or (clean, noisy) of ready-made pairs."""
    return Store(folder / split / SPEECH), Store(folder / split / other)


def open_rooms(folder: Path) -> np.ndarray:
    """Room responses, float32 [count, samples]."""
    rooms: np.ndarray = np.load(folder / ROOMS_NAME, allow_pickle=False)
    return rooms


def prepare(
    material: Material,
    folder: Path,
    *,
    seed: int = 0,
    extras: Extras | None = None,
    progress: Progress | None = None,
) -> Preparation:
    """Build the stores of every part, and the fixed mixtures of valid and test.

    Everything is decoded and checked first; parts are made out of what is usable. Valid and test
    hold the recordings as they are; train gets the extras.

    Args:
        material: what there is, see `sources.material_of`.
        folder: where `<part>/<role>` appear.
        seed: decides the rendered extras and drawn mixtures.
        extras: None chooses by the amount of speech, see `extras_for`.
        progress: gets (what is being done, done, total).

    Raises:
        StoreError: a part lacks speech or noise, there is not one usable file, or a fixed mixture
            could not be scored.
        FolderError: the usable files cannot be divided.
    """
    recorded = folder / RECORDED
    duplicates = Duplicates() if material.published is None else None
    left_out = [*material.left_out, *_pack(material, recorded, duplicates, progress)]
    roles = (SPEECH, NOISY) if _is_paired(material) else (SPEECH, NOISE)
    stores = {role: Store(recorded / role) for role in roles}
    try:
        chosen, notes = _divided(material, stores)
    except FolderError as error:
        more = f"; {len(left_out)} left out" if left_out else ""
        raise FolderError(listed(f"{error}{more}", left_out)) from error
    for (part, role), clips in chosen.items():
        if not clips:
            raise StoreError(f"{folder}: no usable {role} in part {part!r}; add some")
    if duplicates and duplicates.across_parts:
        first, again = map(printable, duplicates.across_parts[0])
        notes.append(
            f"{len(duplicates.across_parts)} recordings are in two parts, as folders say, first "
            f"{first} and {again}"
        )
    if _is_paired(material):
        extras = None
    else:
        render_rooms(folder / ROOMS_NAME, ROOMS, seed=seed)
        extras = extras or extras_for(_duration_s(chosen["train", SPEECH]))
    summaries = []
    for part in SPLITS:
        for role, store in stores.items():
            clips, target = chosen[part, role], folder / part / role
            if part == "train" and extras:
                written = _render(store, clips, target, extras, seed, progress)
            else:
                written = copy_clips(store, clips, target)
            summaries.append(_summary(part, role, clips, written))
    shutil.rmtree(recorded)
    for part in ("valid", "test"):
        if NOISY in roles:
            note = scoring_note(part, chosen[part, NOISY], _mixtures_of(part))
            notes += [note] if note else []
        else:
            _write_mixture_list(folder / part, part, seed, material.published)
        _check_mixtures(folder, part)
    return Preparation(tuple(summaries), tuple(left_out), tuple(notes))


def extras_for(speech_duration_s: float) -> Extras:
    """What to render for how much recorded speech: the less there is, the more it is varied."""
    if speech_duration_s < 3600:
        return Extras(5, 5, babble_minutes=20, procedural_minutes=40)
    if speech_duration_s < 10 * 3600:
        return Extras(5, 5, babble_minutes=90, procedural_minutes=180)
    return Extras(0, 0, babble_minutes=180, procedural_minutes=180)


def _is_paired(material: Material) -> bool:
    return any(clip.role == NOISY for clip in material.clips)


def _pack(
    material: Material, folder: Path, duplicates: Duplicates | None, progress: Progress | None
) -> Iterator[AudioFileError]:
    """Decode and check everything into a store a role; yields what is wrong with the rest."""
    # Of equal recordings the first is used: one that folders name a part of its own for.
    order = ("test", "valid", "train", "")
    clips = material.clips
    if material.published is None:
        clips = tuple(sorted(clips, key=lambda clip: order.index(clip.split)))
    by_role = {role: [c for c in clips if c.role == role] for role in (SPEECH, NOISE, NOISY)}
    if by_role[NOISY]:
        report = partial(progress, "decode pairs") if progress else None
        yield from build_paired_stores(
            by_role[SPEECH],
            by_role[NOISY],
            folder / SPEECH,
            folder / NOISY,
            duplicates=duplicates or Duplicates(),
            progress=report,
        ).left_out
        return
    for role in (SPEECH, NOISE):
        total = len(by_role[role])

        def count(done: int, role: str = role, total: int = total) -> None:
            if progress:
                progress(f"decode {role}", done, total)

        yield from build_store(
            by_role[role], folder / role, duplicates=duplicates, progress=count
        ).left_out


def _divided(
    material: Material, stores: Mapping[str, Store]
) -> tuple[dict[tuple[str, str], list[StoredClip]], list[str]]:
    """Stored clips by (part, role), and the notes; both sides of a pair go the noisy one's way."""
    chosen: dict[tuple[str, str], list[StoredClip]] = {}
    notes: dict[str, None] = {}
    for role, store in stores.items():
        deciding = NOISY if NOISY in stores else role
        usable = {clip.name for clip in store.clips}
        division = material.divide(
            [clip for clip in material.clips if clip.role == deciding and clip.name in usable]
        )
        notes |= dict.fromkeys(division.notes)
        labels = {clip.name: clip for clip in division.clips}
        for part in SPLITS:
            chosen[part, role] = [
                replace(stored, speaker=labels[stored.name].speaker)
                for stored in store.clips
                if labels[stored.name].split == part
            ]
    return chosen, list(notes)


def _render(
    store: Store,
    clips: Sequence[StoredClip],
    target: Path,
    extras: Extras,
    seed: int,
    progress: Progress | None,
) -> StoreSummary:
    role = target.name
    report = partial(progress, f"render train {role}") if progress else None
    if role == SPEECH:
        return render_speech(store, clips, target, extras, seed=2 * seed, progress=report)
    return render_noise(store, clips, target, extras, seed=2 * seed + 1, progress=report)


def _summary(
    part: str, role: str, clips: Sequence[StoredClip], written: StoreSummary
) -> PartSummary:
    speakers = {clip.speaker for clip in clips}
    unknown = role == NOISE or all(is_anonymous(clip) for clip in clips)
    return PartSummary(
        part=part,
        role=role,
        speakers=None if unknown else len(speakers),
        files=len(clips),
        recorded_min=round(_duration_s(clips) / 60, 1),
        rendered_min=round(written.duration_s / 60, 1),
    )


def _duration_s(clips: Iterable[StoredClip]) -> float:
    return sum(clip.length for clip in clips) / RATE_HZ


def _check_mixtures(folder: Path, part: str) -> None:
    """Find before any training what could not be scored after it."""
    for mixture in Corpus(folder).mixtures(part):
        if not (np.isfinite(mixture.noisy).all() and mixture.clean.any()):
            raise StoreError(
                f"{folder}: {part} mixture {mixture.name} has no clean sound or is not finite; "
                "remove the recordings it is made from"
            )


def _write_mixture_list(folder: Path, split: str, seed: int, published: str | None) -> None:
    target = folder / LIST_NAME
    if published is not None:
        shutil.copyfile(LISTS_DIR / f"{published}_{split}.json", target)
        return
    speech, noise = Store(folder / SPEECH), Store(folder / NOISE)
    kinds = sorted({"babble" if clip.kind == "voice" else clip.kind for clip in noise.clips})
    count = MIXTURES_PER_SNR[split]
    mixture_list = draw_list(
        speech,
        noise,
        prefix=split,
        snrs_db=SNRS_DB[split],
        kinds=[kinds[number % len(kinds)] for number in range(count)],
        samples=MIXTURE_SAMPLES,
        seed=seed,
    )
    write_list(mixture_list, target)
