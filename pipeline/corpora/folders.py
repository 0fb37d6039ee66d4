"""Users' own audio: clean and noise folders to mix, or folders of matching clean and noisy files.

Splits never share a speaker, as far as folder and file names tell who is speaking:

1. A folder whose name says train, valid (dev, val, dt, cv) or test (eval, et, tt) decides for
   everything below it (LibriSpeech, VoiceBank-DEMAND, CHiME-2).
2. Otherwise speakers are told apart by the first folder, else by the file name up to the first
   "_" or "-", else every file counts as its own; the first rule that finds at least three groups is
   used. A tenth of the groups goes to valid, another to test.

Which group goes where depends on names alone, never on order or chance.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path, PurePath

from pipeline.corpora.audio import SUFFIXES
from pipeline.corpora.store import Clip

HELD_OUT_SHARE = 0.1
_MIN_GROUPS = 3
_SPLIT_WORDS = {
    "train": "train",
    "trainset": "train",
    "tr": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "dt": "valid",
    "cv": "valid",
    "test": "test",
    "testset": "test",
    "eval": "test",
    "et": "test",
    "tt": "test",
}
_NOISE_KINDS = {"music": "music", "speech": "voice", "babble": "babble"}
_UNKNOWN_LICENCE = "not recorded"


class FolderError(ValueError):
    """A folder that is missing, holds no audio, or does not match its counterpart."""


def folder_clips(clean_dir: Path, noise_dir: Path) -> list[Clip]:
    """Clips of a folder of clean speech and a folder of noise (LibriSpeech, MUSAN, DNS, ...).

    Noise below a folder named `music` is music; below `speech` it is only used in babble.

    Raises:
        FolderError: a folder is missing or holds no audio file.
    """
    speech = _audio_files(clean_dir, "clean speech")
    noise = _audio_files(noise_dir, "noise")
    groupings: list[Callable[[PurePath], str]] = [_first_folder, _name_prefix, str]
    speech_splits = split_files(speech, groupings)
    noise_splits = split_files(noise, [str])
    return [
        _clip(clean_dir, path, "speech", "speech", speech_splits[path], _speaker(path))
        for path in speech
    ] + [
        _clip(noise_dir, path, "noise", _noise_kind(path), noise_splits[path], str(path.parent))
        for path in noise
    ]


def paired_clips(clean_dir: Path, noisy_dir: Path) -> list[Clip]:
    """Clips of a clean and a noisy folder, matched by file name (VoiceBank-DEMAND, CHiME-2).

    The two clips of a pair, of role "speech" and "noisy", share the name of the noisy file.
    Where several clean files share a name, the one whose folders agree most is taken; several
    noisy files (one for each SNR, say) may share a clean one.

    Raises:
        FolderError: a folder is missing or empty, or a noisy file has no clean counterpart.
    """
    by_stem: dict[str, list[PurePath]] = {}
    for path in _audio_files(clean_dir, "clean speech"):
        by_stem.setdefault(path.stem, []).append(path)
    noisy = _audio_files(noisy_dir, "noisy speech")
    missing = [str(path) for path in noisy if path.stem not in by_stem]
    if missing:
        raise FolderError(
            f"{noisy_dir}: {len(missing)} of {len(noisy)} noisy files have no clean file of the "
            f"same name in {clean_dir}, first {missing[0]!r}; name both alike"
        )
    splits = split_files(noisy, [_first_folder, _name_prefix, str])
    clips = []
    for path in noisy:
        folders = set(path.parts[:-1])
        clean = max(by_stem[path.stem], key=lambda other: len(folders & set(other.parts)))
        clip = _clip(noisy_dir, path, "noisy", "paired", splits[path], _speaker(path))
        clips += [clip, replace(clip, path=clean_dir / clean, role="speech", kind="speech")]
    return clips


def split_files(
    paths: Iterable[PurePath], groupings: Iterable[Callable[[PurePath], str]]
) -> dict[PurePath, str]:
    """Train, valid or test for each relative path; see the rules at the top.

    Raises:
        FolderError: nothing is left to train on.
    """
    named = {path: named_split(path) for path in paths}
    decided = {path: split for path, split in named.items() if split}
    open_paths = [path for path, split in named.items() if split in (None, "train")]
    missing = [split for split in ("valid", "test") if split not in decided.values()]
    groups: dict[PurePath, str] = {}
    for grouping in groupings:
        groups = {path: grouping(path) for path in open_paths}
        if len(set(groups.values())) >= _MIN_GROUPS:
            break
    order = sorted(set(groups.values()), key=_digest)
    count = max(1, round(HELD_OUT_SHARE * len(order)))
    held_out = {
        group: split
        for number, split in enumerate(missing)
        for group in order[number * count : (number + 1) * count]
    }
    splits = decided | {path: held_out.get(groups[path], "train") for path in open_paths}
    if "train" not in splits.values():
        raise FolderError(
            f"{len(splits)} audio files cannot be split into train, valid and test; give at least "
            "three, or put them into folders named train, valid and test"
        )
    return splits


def named_split(path: PurePath) -> str | None:
    """The split a folder name of a relative path stands for, the outermost deciding."""
    for folder in path.parts[:-1]:
        for word in re.split(r"[^a-z]+", folder.lower()):
            if word in _SPLIT_WORDS:
                return _SPLIT_WORDS[word]
    return None


def _audio_files(folder: Path, what: str) -> list[PurePath]:
    if not folder.is_dir():
        raise FolderError(f"{folder}: there is no such folder of {what}; check the path")
    found = sorted(
        PurePath(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not found:
        raise FolderError(
            f"{folder}: no {what} in it; expected {', '.join(SUFFIXES)} files, in folders or not"
        )
    return found


def _clip(root: Path, path: PurePath, role: str, kind: str, split: str, speaker: str) -> Clip:
    return Clip(
        path=root / path,
        name=f"{root.name}/{path.as_posix()}",
        source=root.name,
        speaker=speaker,
        licence=_UNKNOWN_LICENCE,
        kind=kind,
        role=role,
        split=split,
    )


def _noise_kind(path: PurePath) -> str:
    kinds = [_NOISE_KINDS[part.lower()] for part in path.parts[:-1] if part.lower() in _NOISE_KINDS]
    return kinds[0] if kinds else "ambience"


def _speaker(path: PurePath) -> str:
    """Whose clips may be joined into one crop: the innermost folder and the name's prefix."""
    return f"{path.parent.as_posix()}/{_name_prefix(path)}"


def _first_folder(path: PurePath) -> str:
    """The first folder that does not name a split; "" for files outside any."""
    folders = [part for part in path.parts[:-1] if named_split(PurePath(part) / "x") is None]
    return folders[0] if folders else ""


def _name_prefix(path: PurePath) -> str:
    return re.split(r"[_-]", path.stem)[0]


def _digest(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()
