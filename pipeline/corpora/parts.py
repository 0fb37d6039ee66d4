"""Train, valid and test out of usable recordings: what folder names say, then whole speakers.

1. A folder name that says train, valid or test decides for everything below it, the outermost
   first. FSD50K and others call their training part "dev": where nothing else is left to train
   on, valid is trained on, and a valid part is taken out of it.
2. Recordings outside such folders follow the part their speaker is in, if the corpus names
   speakers (`pipeline.corpora.speakers`).
3. Parts still missing are taken out of the rest by whole speakers, a tenth of them each. Where no
   corpus is recognized, speakers are told apart by the first folder, else by folders further
   down, else by the file name up to the first "_" or "-" if files share such beginnings: the first
   rule that finds enough of them. Files in one folder without such names count each as its own;
   several folders that are too few are refused. Noise is divided by files.

Which speaker goes where depends on names alone, never on order or chance.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

from pipeline.corpora.audio import printable
from pipeline.corpora.listing import FolderError
from pipeline.corpora.material import Division
from pipeline.corpora.store import NOISE, SPLITS, Clip, StoredClip

HELD_OUT_SHARE = 0.1
_WORD = re.compile(
    r"(?:(?P<train>train(?:ing)?)|(?P<valid>valid(?:ation)?|val|dev(?:elopment)?)|"
    r"(?P<test>test(?:ing)?|eval(?:uation)?))(?:sets?|data)?"
)
_CHIME = re.compile(r"(?:si_(tr|dt|et)_\w+|(tr|dt|et)05(?:_\w+)?)")
_ABBREVIATED = {"tr": "train", "cv": "valid", "dt": "valid", "tt": "test", "et": "test"}


def relative_path(clip: Clip | StoredClip) -> PurePath:
    """Where a clip lies below the folder that was given."""
    return PurePath(clip.name.partition("/")[2])


def named_parts(paths: Iterable[PurePath]) -> dict[PurePath, str]:
    """The part that folder names give to relative paths; paths whose names give none are missing.

    Words count as whole words of a folder's name ("FSD50K.dev_audio", "train-clean-100", the last
    one deciding), never as parts of words. The short ones mean a part only where they stand for
    one beyond doubt: "tr" beside "cv" or "tt", and "si_dt_05" or "et05_bus_simu" of CHiME.
    """
    paths = list(paths)
    siblings: dict[PurePath, set[str]] = defaultdict(set)
    for path in paths:
        for folder in list(path.parents)[:-1]:
            siblings[folder.parent].add(folder.name.lower())
    parts = {}
    for path in paths:
        for folder in reversed(list(path.parents)[:-1]):
            part = _part_of_name(folder.name.lower(), siblings[folder.parent])
            if part:
                parts[path] = part
                break
    return parts


def divide(clips: Sequence[Clip]) -> Division:
    """Give every clip of one role a part, and a speaker unless it is noise.

    Args:
        clips: their `split` is what a folder name says or "", their `speaker` what the corpus
            says or "".

    Raises:
        FolderError: there is nothing to train on, or too few speakers (noise: files) for the
            parts that folders do not name.
    """
    notes: list[str] = []
    clips = _without_train(clips, notes)
    if clips[0].role == NOISE:
        return Division(_held_out(clips, [clip.name for clip in clips], "file"), tuple(notes))
    clips = _following_their_speaker(clips)
    missing = _missing(clips)
    groups, rule = _groups(clips, len(missing) + 1)
    divided = _held_out(clips, groups, "speaker")
    clips = _with_voices(divided, rule)
    alone = sum(is_anonymous(clip) for clip in clips)
    if alone:
        notes.append(
            f"{_root(clips[0])}: names tell no speaker of {alone} of {len(clips)} files; each "
            "counts as its own, so one voice may be heard in two parts"
        )
    heard = defaultdict(set)
    for clip, group in zip(clips, groups, strict=True):
        heard[group].add(clip.split)
    shared = sorted(group for group, parts in heard.items() if group and len(parts) > 1)
    if shared and len(heard) > 1:
        named = " and ".join(part for part in SPLITS if part in heard[shared[0]])
        notes.append(
            f"{_root(clips[0])}: {len(shared)} speaker(s) are in two parts, as folders say, first "
            f"{shared[0]} in {named}"
        )
    return Division(clips, tuple(notes))


def is_anonymous(clip: Clip | StoredClip) -> bool:
    """Whether the speaker is unknown, so that the file counts as its own."""
    return clip.speaker == str(relative_path(clip))


def _part_of_name(name: str, siblings: set[str]) -> str | None:
    words = [match for word in re.split(r"[^a-z]+", name) if (match := _WORD.fullmatch(word))]
    if words:
        return words[-1].lastgroup
    chime = _CHIME.fullmatch(name)
    if chime:
        return _ABBREVIATED[chime[1] or chime[2]]
    if name in ("tr", "cv", "tt") and "tr" in siblings and siblings & {"cv", "tt"}:
        return _ABBREVIATED[name]
    return None


def _without_train(clips: Sequence[Clip], notes: list[str]) -> Sequence[Clip]:
    """Clips of which some may be trained on: "valid" is taken for it where nothing else is."""
    if any(clip.split in ("", "train") for clip in clips):
        return clips
    if any(clip.split == "valid" for clip in clips):
        notes.append(
            f"{_root(clips[0])}: no part to train on but the one named valid; it is divided"
        )
        return [replace(clip, split="") if clip.split == "valid" else clip for clip in clips]
    raise FolderError(
        f"{_root(clips[0])}: all {len(clips)} usable files lie in folders named test; add some to "
        "train on, or rename the folders"
    )


def _following_their_speaker(clips: Sequence[Clip]) -> list[Clip]:
    """Undecided clips join the part that holds other recordings of their speaker."""
    home = {c.speaker: c.split for part in SPLITS for c in clips if c.speaker and c.split == part}
    return [
        clip if clip.split else replace(clip, split=home.get(clip.speaker, "")) for clip in clips
    ]


def _missing(clips: Sequence[Clip]) -> list[str]:
    named = {clip.split for clip in clips}
    return [part for part in ("valid", "test") if part not in named]


def _groups(clips: Sequence[Clip], needed: int) -> tuple[list[str], str]:
    """What must not be divided, one label a clip, and the rule for clips of unknown speaker."""
    paths = [relative_path(clip) for clip in clips]
    depth = max(len(_folders(path)) for path in paths)
    rules: list[tuple[str, Callable[[PurePath], str]]] = [
        ("folder", partial(_outer_folders, levels=level)) for level in range(1, depth + 1)
    ]
    if _beginnings_repeat(paths):
        rules.append(("name", _name_prefix))
    found = []
    for rule, label in rules:
        groups = [clip.speaker or label(path) for clip, path in zip(clips, paths, strict=True)]
        open_groups = {
            group for group, clip in zip(groups, clips, strict=True) if clip.split in ("", "train")
        }
        if len(open_groups) >= needed and len(set(groups)) > 1:
            return groups, rule
        found.append((len(open_groups), groups, rule))
    most, groups, rule = max(found, default=(0, [], ""), key=lambda entry: entry[0])
    if most > 1:
        return groups, rule
    alone = [clip.speaker or str(path) for clip, path in zip(clips, paths, strict=True)]
    return alone, "file"


def _beginnings_repeat(paths: Sequence[PurePath]) -> bool:
    """Whether file names of one folder begin alike, so that their beginnings may be speakers."""
    beginnings = [(path.parent, _name_prefix(path)) for path in paths]
    return len(set(beginnings)) < len(beginnings)


def _held_out(clips: Sequence[Clip], groups: Sequence[str], unit: str) -> tuple[Clip, ...]:
    """Take the missing parts out of what is trained on, a tenth of the groups for each.

    Groups that folders put into two parts anyway come last.
    """
    missing = _missing(clips)
    settled = {group for group, clip in zip(groups, clips) if clip.split in ("valid", "test")}
    is_open = [clip.split in ("", "train") for clip in clips]
    order = sorted(
        {group for group, is_free in zip(groups, is_open) if is_free},
        key=lambda group: (group in settled, _digest(group)),
    )
    if missing and len(order) <= len(missing):
        raise FolderError(
            f"{_root(clips[0])}: {sum(is_open)} usable files, {len(order)} {unit}(s), cannot be "
            f"split into {', '.join(['train', *missing])} without a {unit} in two of them; add "
            f"{unit}s, or put the files into folders named train, valid and test"
        )
    count = max(1, round(HELD_OUT_SHARE * len(order)))
    held_out = {
        group: part
        for number, part in enumerate(missing)
        for group in order[number * count : (number + 1) * count]
    }
    return tuple(
        replace(clip, split=held_out.get(group, "train")) if is_free else clip
        for clip, group, is_free in zip(clips, groups, is_open)
    )


def _with_voices(clips: Sequence[Clip], rule: str) -> tuple[Clip, ...]:
    """Name the unknown speakers: whose recordings may be joined into one crop.

    Finer than what must not be divided: a folder, and within it the file name's beginning where
    several files share one.
    """
    beginnings: dict[PurePath, list[str]] = defaultdict(list)
    for clip in clips:
        path = relative_path(clip)
        beginnings[path.parent].append(_name_prefix(path))

    def voice(path: PurePath) -> str:
        if rule == "file":
            return str(path)
        several = beginnings[path.parent]
        if rule == "folder" and len(set(several)) == len(several):
            return path.parent.as_posix()
        return f"{path.parent.as_posix()}/{_name_prefix(path)}"

    return tuple(
        clip if clip.speaker else replace(clip, speaker=voice(relative_path(clip)))
        for clip in clips
    )


def _outer_folders(path: PurePath, levels: int) -> str:
    return "/".join(_folders(path)[:levels])


def _folders(path: PurePath) -> list[str]:
    """Folder names of a relative path that do not stand for a part."""
    return [part for part in path.parts[:-1] if _part_of_name(part.lower(), set()) is None]


def _name_prefix(path: PurePath) -> str:
    return re.split(r"[_-]", path.stem)[0]


def _digest(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()


def _root(clip: Clip) -> str:
    """The folder that was given, for messages."""
    return printable(Path(*clip.path.parts[: -len(relative_path(clip).parts)]))
