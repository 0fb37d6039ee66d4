"""The prepared corpus: stores for train, valid and test, room responses, fixed mixtures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.corpora.audio import RATE_HZ
from pipeline.corpora.augment import Extras, render_noise, render_rooms, render_speech
from pipeline.corpora.mixing import Mixer
from pipeline.corpora.paired import PairedMixer, build_paired_stores, paired_mixtures
from pipeline.corpora.store import SPLITS, Clip, Store, StoreError, StoreSummary, build_store
from pipeline.corpora.testset import LISTS_DIR, Mixture, draw_list, load_mixtures, write_list

SPEECH, NOISE, NOISY = "speech", "noise", "noisy"
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
class SplitSummary:
    """The recordings that went into one store, and what it holds with the rendered extras."""

    split: str
    role: str
    recorded: StoreSummary
    rendered: StoreSummary


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
            count = MIXTURES_PER_SNR[split] * len(SNRS_DB[split])
            return paired_mixtures(clean, noisy, count=count, samples=MIXTURE_SAMPLES)
        return load_mixtures(self.folder / split / LIST_NAME, *open_split(self.folder, split))


def open_split(folder: Path, split: str, other: str = NOISE) -> tuple[Store, Store]:
    """(speech, noise) of one split, or (clean, noisy) of ready-made pairs."""
    return Store(folder / split / SPEECH), Store(folder / split / other)


def open_rooms(folder: Path) -> np.ndarray:
    """Room responses, float32 [count, samples]."""
    rooms: np.ndarray = np.load(folder / ROOMS_NAME, allow_pickle=False)
    return rooms


def prepare(
    clips: Iterable[Clip],
    folder: Path,
    *,
    seed: int = 0,
    published: str | None = None,
    extras: Extras | None = None,
    progress: Progress | None = None,
) -> list[SplitSummary]:
    """Build the stores of every split, and the fixed mixtures of valid and test.

    Valid and test hold the recordings as they are; train gets the extras.

    Args:
        clips: recordings of role "speech" and "noise", or of "speech" and "noisy" where pairs
            share a name.
        folder: where `<split>/<role>` appear.
        seed: decides the rendered extras and drawn mixtures.
        published: "debian" or "embedded" for the lists of mixtures published with the package;
            None draws lists from the clips.
        extras: None chooses by the amount of speech, see `extras_for`.
        progress: gets (what is being done, done, total).

    Raises:
        StoreError: a split lacks speech or noise, or has not one usable file.
    """
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        groups.setdefault((clip.split, clip.role), []).append(clip)
    other = NOISY if ("train", NOISY) in groups else NOISE
    for split in SPLITS:
        for role in (SPEECH, other):
            if (split, role) not in groups:
                raise StoreError(f"{folder}: no {role} clip in split {split!r}; add some")
    summaries = []
    for split in SPLITS:
        speech, others = groups[split, SPEECH], groups[split, other]
        if other == NOISY:
            summaries += _pack_pairs(speech, others, folder / split, split, progress)
        elif split == "train":
            summaries += _pack_train(speech, others, folder, seed, extras, progress)
        else:
            summaries += _pack_held_out(speech, others, folder / split, split, progress)
            _write_mixture_list(folder / split, split, seed, published)
    return summaries


def extras_for(speech_duration_s: float) -> Extras:
    """What to render for how much recorded speech: the less there is, the more it is varied."""
    if speech_duration_s < 3600:
        return Extras(5, 5, babble_minutes=20, procedural_minutes=40)
    if speech_duration_s < 10 * 3600:
        return Extras(5, 5, babble_minutes=90, procedural_minutes=180)
    return Extras(0, 0, babble_minutes=180, procedural_minutes=180)


def _pack_train(
    speech: list[Clip],
    noise: list[Clip],
    folder: Path,
    seed: int,
    extras: Extras | None,
    progress: Progress | None,
) -> list[SplitSummary]:
    render_rooms(folder / ROOMS_NAME, ROOMS, seed=seed)
    summaries = []
    for number, (role, clips) in enumerate(((SPEECH, speech), (NOISE, noise))):
        recordings = folder / "recorded" / role
        recorded = _pack(clips, recordings, f"decode train {role}", progress)
        extras = extras or extras_for(recorded.duration_s)
        render = render_speech if role == SPEECH else render_noise
        report = partial(progress, f"render train {role}") if progress else None
        target = folder / "train" / role
        rendered = render(
            Store(recordings), target, extras, seed=2 * seed + number, progress=report
        )
        summaries.append(SplitSummary("train", role, recorded, rendered))
    shutil.rmtree(folder / "recorded")
    return summaries


def _pack_held_out(
    speech: list[Clip], noise: list[Clip], folder: Path, split: str, progress: Progress | None
) -> list[SplitSummary]:
    summaries = []
    for role, clips in ((SPEECH, speech), (NOISE, noise)):
        packed = _pack(clips, folder / role, f"decode {split} {role}", progress)
        summaries.append(SplitSummary(split, role, packed, packed))
    return summaries


def _pack_pairs(
    clean: list[Clip], noisy: list[Clip], folder: Path, split: str, progress: Progress | None
) -> list[SplitSummary]:
    report = partial(progress, f"decode {split} pairs") if progress else None
    packed = build_paired_stores(clean, noisy, folder / SPEECH, folder / NOISY, progress=report)
    return [SplitSummary(split, role, packed, packed) for role in (SPEECH, NOISY)]


def _pack(clips: list[Clip], folder: Path, what: str, progress: Progress | None) -> StoreSummary:
    def report(done: int) -> None:
        if progress:
            progress(what, done, len(clips))

    return build_store(clips, folder, progress=report)


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
