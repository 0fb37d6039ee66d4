"""Which clean recording belongs to which noisy one, as corpora name them.

Given two folders, the first holds clean, the second noisy speech. Given one folder for both, or
one inside the other, names of folders tell the sides apart, else the beginnings or endings of file
names: "clean" and "noisy" (VoiceBank-DEMAND, DNS Challenge), `s1` beside `mix_single` (LibriMix),
"reverberated" and "isolated" (CHiME-2), `tr05_org` and `tr05_bus_simu` (CHiME-3).

Two files belong together if their names are equal, else if they are equal without such words, the
signal-to-noise ratio behind them, environment and channel (CHiME-3), or have the same fileid
(DNS). Of several clean files the one whose folders agree most is taken; several noisy files may
share a clean one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from pipeline.corpora.audio import AudioFileError, is_audio, printable
from pipeline.corpora.folders import UNKNOWN_LICENCE, clip_name
from pipeline.corpora.listing import FolderError, list_files
from pipeline.corpora.material import Material
from pipeline.corpora.parts import divide, named_parts
from pipeline.corpora.speakers import known_speaker
from pipeline.corpora.store import NOISY, SPEECH, Clip

CLEAN = "clean"
_NEITHER = "neither"
_MIX = re.compile(r"mix(?:tures?)?(?:_(?:single|clean|both))?")
# A second talker is left in the other two; the first of these a corpus has is taken.
_LIBRIMIX = ("mix_single", "mix_both", "mix_clean")
_LIBRISPEECH = re.compile(r"(?:train|dev|test)-(?:clean|other)(?:-\d+)?")
_CHIME3 = re.compile(r"(?:tr|dt|et)05_(?:\w+_)?(org|bth|simu|real)")
_CHIME3_SIDES = {"org": CLEAN, "bth": CLEAN, "simu": NOISY, "real": _NEITHER}
_WORDS = {
    **dict.fromkeys(("clean", "reverberated"), CLEAN),
    **dict.fromkeys(("noisy", "isolated", "mix", "mixture", "mixed"), NOISY),
}
_AT_END = re.compile(
    r"[_\-. ](?P<word>clean|noisy|mix|mixture|mixed)(?:[_\-. ]?(?:snr)?[_\-]?\d+(?:\.\d+)?(?:db)?)?"
)
_AT_START = re.compile(r"(?P<word>clean|noisy|mix|mixture|mixed)[_\-. ]")
_FILE_ID = re.compile(r"(?:.*_)?(fileid_\d+)")
_CHIME3_NAME = re.compile(r"((?:[fm]\d{2}|\d{3})_[0-9a-z]{8})_[a-z]{3}(?:\.ch\d)?")
_CHANNEL = re.compile(r"\.ch\d", re.IGNORECASE)


@dataclass(frozen=True)
class _File:
    """A file of one side: where it lies, its path below the folder given, and its part or ""."""

    root: Path
    path: PurePath
    part: str


@dataclass(frozen=True)
class _Sides:
    clean: list[_File]
    noisy: list[_File]
    left_out: list[AudioFileError]


def paired_material(clean_dir: Path, noisy_dir: Path) -> Material:
    """Pairs of a clean and a noisy folder, see the rules at the top.

    The two clips of a pair, of role "speech" and "noisy", share the name of the noisy file.

    Raises:
        FolderError: a folder is missing or empty, the two are named the other way round, one
            folder is given for both sides and its names do not tell them apart, or no two files
            belong together.
    """
    sides = _sides(clean_dir, noisy_dir)
    by_stem, by_key = defaultdict(list), defaultdict(list)
    for file in sides.clean:
        by_stem[file.path.stem].append(file)
        by_key[_key(file.path)].append(file)
    clips: list[Clip] = []
    used: set[_File] = set()
    left_out = list(sides.left_out)
    for file in sides.noisy:
        try:
            clean = _partner(file, by_stem[file.path.stem] or by_key[_key(file.path)], clean_dir)
        except AudioFileError as error:
            left_out.append(error)
            continue
        used.add(clean)
        clips += _pair(clean, file)
    if not clips:
        raise FolderError(
            f"{printable(noisy_dir)}: none of {len(sides.noisy)} noisy files belongs to one of "
            f"{len(sides.clean)} clean files in {printable(clean_dir)}, first "
            f"{printable(sides.noisy[0].path)!r} and {printable(sides.clean[0].path)!r}; name the "
            "files of a pair alike"
        )
    left_out += [
        AudioFileError(file.root / file.path, "no noisy file belongs to it", "name both alike")
        for file in sides.clean
        if file not in used
    ]
    return Material(clips=tuple(clips), left_out=tuple(left_out), divide=divide)


def _partner(noisy: _File, candidates: list[_File], clean_dir: Path) -> _File:
    """The clean file of a noisy one.

    Raises:
        AudioFileError: there is none, or several fit equally.
    """
    path = noisy.root / noisy.path
    if len(candidates) > 1:  # transcripts carry the names of recordings
        candidates = [c for c in candidates if is_audio(c.root / c.path)] or candidates
    if not candidates:
        raise AudioFileError(
            path, f"no clean file in {printable(clean_dir)} belongs to it", "name both alike"
        )
    same_part = [c for c in candidates if not (c.part and noisy.part and c.part != noisy.part)]
    if not same_part:
        raise AudioFileError(
            path,
            f"is in {noisy.part}, but its clean file {printable(candidates[0].path)} in "
            f"{candidates[0].part}",
            "put both into folders of one part",
        )

    def agreement(clean: _File) -> tuple[int, bool, bool]:
        return (
            len(_plain_folders(noisy.path) & _plain_folders(clean.path)),
            _CHANNEL.findall(noisy.path.name) == _CHANNEL.findall(clean.path.name),
            noisy.path.suffix == clean.path.suffix,
        )

    best = max(agreement(clean) for clean in same_part)
    fitting = [clean for clean in same_part if agreement(clean) == best]
    if len(fitting) > 1:
        raise AudioFileError(
            path,
            f"{len(fitting)} clean files fit it equally, {printable(fitting[0].path)} and "
            f"{printable(fitting[1].path)} among them",
            "name pairs alike, folders included",
        )
    return fitting[0]


def _pair(clean: _File, noisy: _File) -> list[Clip]:
    speakers = (known_speaker(PurePath(printable(file.path))) for file in (noisy, clean))
    clip = Clip(
        path=noisy.root / noisy.path,
        name=clip_name(noisy.root, noisy.path),
        source=printable(noisy.root.resolve().name),
        speaker=next((speaker for speaker in speakers if speaker), ""),
        licence=UNKNOWN_LICENCE,
        kind="paired",
        role=NOISY,
        split=noisy.part or clean.part,
    )
    return [replace(clip, path=clean.root / clean.path, role=SPEECH, kind=SPEECH), clip]


def _sides(clean_dir: Path, noisy_dir: Path) -> _Sides:
    clean, noisy = clean_dir.resolve(), noisy_dir.resolve()
    if clean in noisy.parents:
        return _divided(clean_dir, {noisy.relative_to(clean): NOISY}, outside=CLEAN)
    if noisy in clean.parents:
        return _divided(noisy_dir, {clean.relative_to(noisy): CLEAN}, outside=NOISY)
    if noisy == clean:
        return _divided(clean_dir, {}, outside=None)
    if (_side_of_words(clean.name.lower()), _side_of_words(noisy.name.lower())) == (NOISY, CLEAN):
        raise FolderError(
            f"{printable(clean_dir)} is given for clean, {printable(noisy_dir)} for noisy speech; "
            "exchange them"
        )
    found: dict[str, list[_File]] = {}
    left_out: list[AudioFileError] = []
    for role, folder in ((CLEAN, clean_dir), (NOISY, noisy_dir)):
        listing = list_files(folder, f"{role} speech")
        left_out += listing.left_out
        sides = _sides_by_name(listing.files)
        if not {CLEAN, NOISY} <= set(sides.values()):
            sides = {}
        kept = [path for path in listing.files if sides.get(path, role) == role]
        found[role] = _files(folder, kept)
        left_out += _of_other_side(folder, listing.files, kept)
    return _Sides(found[CLEAN], found[NOISY], left_out)


def _divided(root: Path, inner: dict[PurePath, str], outside: str | None) -> _Sides:
    """Both sides out of one folder.

    Args:
        root: holds both.
        inner: a folder in it that was given for one side.
        outside: the side the rest was given for, or None where names alone must tell.

    Raises:
        FolderError: they do not.
    """
    listing = list_files(root, "clean and noisy speech")
    by_name = _sides_by_name(listing.files)
    sides: dict[PurePath, str] = {}
    for path in listing.files:
        given = next((side for folder, side in inner.items() if folder in path.parents), None)
        side = given or by_name.get(path) or outside
        if side and (given or outside in (None, side)):
            sides[path] = side
    named = set(sides.values()) - {_NEITHER}
    if len(named) == 1 and not inner:
        # Only one side carries its name: the files without a word are the other.
        rest = NOISY if named == {CLEAN} else CLEAN
        sides = {path: sides.get(path, rest) for path in listing.files}
        named = set(sides.values()) - {_NEITHER}
    if len(named) < 2:
        raise FolderError(
            f"{printable(root)}: given for both sides, and its names do not tell clean from noisy "
            "files; give two folders, or name folders or files clean and noisy"
        )
    kept = {
        side: [path for path in listing.files if sides.get(path) == side] for side in (CLEAN, NOISY)
    }
    kept[NOISY], spare = _one_kind_of_mixture(kept[NOISY])
    left_out = [
        *listing.left_out,
        *_of_other_side(root, listing.files, kept[CLEAN] + kept[NOISY] + spare),
        *(
            AudioFileError(
                root / path,
                "another kind of mixture of the same talkers is used",
                "give its folder as the noisy one to use it",
            )
            for path in spare
        ),
    ]
    return _Sides(_files(root, kept[CLEAN]), _files(root, kept[NOISY]), left_out)


def _files(root: Path, paths: Iterable[PurePath]) -> list[_File]:
    paths = list(paths)
    parts = named_parts(paths)
    return [_File(root, path, parts.get(path, "")) for path in paths]


def _of_other_side(
    root: Path, paths: Iterable[PurePath], used: Iterable[PurePath]
) -> list[AudioFileError]:
    known = set(used)
    return [
        AudioFileError(
            root / path, "by its name neither clean nor noisy here", "rename it if it is"
        )
        for path in paths
        if path not in known
    ]


def _one_kind_of_mixture(paths: list[PurePath]) -> tuple[list[PurePath], list[PurePath]]:
    """Of LibriMix's mixtures the first kind there is, and the rest."""
    kinds = [kind for kind in _LIBRIMIX if any(kind in path.parts for path in paths)]
    spare = [path for path in paths if set(kinds[1:]) & set(path.parts)]
    return [path for path in paths if path not in set(spare)], spare


def _sides_by_name(paths: Iterable[PurePath]) -> dict[PurePath, str]:
    """The side that folder names give to each path, or else file names; some may be missing."""
    paths = list(paths)
    siblings: dict[PurePath, set[str]] = defaultdict(set)
    for path in paths:
        for folder in list(path.parents)[:-1]:
            siblings[folder.parent].add(folder.name.lower())
    by_folder = {
        path: side
        for path in paths
        if (side := next(filter(None, (_side(f, siblings) for f in list(path.parents)[:-1])), None))
    }
    if {CLEAN, NOISY} & set(by_folder.values()):
        return by_folder
    return {path: side for path in paths if (side := _side_of_stem(path.stem.lower()))}


def _side(folder: PurePath, siblings: dict[PurePath, set[str]]) -> str | None:
    """The side one folder's own name stands for, among the folders beside it."""
    name, beside = folder.name.lower(), siblings[folder.parent]
    chime = _CHIME3.fullmatch(name)
    if chime:
        return _CHIME3_SIDES[chime[1]]
    if _MIX.fullmatch(name):
        return NOISY
    if _LIBRISPEECH.fullmatch(name):
        return None
    if any(_MIX.fullmatch(other) for other in beside) and re.fullmatch(r"s\d", name):
        return CLEAN if name == "s1" else _NEITHER
    if name == "noise" and any(other != name and _side_of_words(other) for other in beside):
        return _NEITHER
    return _side_of_words(name)


def _side_of_words(name: str) -> str | None:
    sides = {_WORDS[word] for word in re.split(r"[^a-z]+", name) if word in _WORDS}
    return sides.pop() if len(sides) == 1 else None


def _side_of_stem(stem: str) -> str | None:
    word = _AT_START.match(stem) or re.fullmatch(f".*{_AT_END.pattern}", stem)
    return _WORDS[word["word"]] if word else None


def _key(path: PurePath) -> str:
    """What the names of a clean file and its noisy versions have in common."""
    stem = path.stem.lower()
    for pattern in (_FILE_ID, _CHIME3_NAME):
        match = pattern.fullmatch(stem)
        if match:
            return match[1]
    stem = _AT_START.sub("", stem, count=1) if _AT_START.match(stem) else stem
    return re.sub(f"{_AT_END.pattern}$", "", stem)


def _plain_folders(path: PurePath) -> set[str]:
    """Folder names without the words that tell the sides apart."""
    names = set()
    for name in path.parts[:-1]:
        words = [word for word in re.split(r"[_\-. ]+", name.lower()) if word not in _WORDS]
        names.add("_".join(words))
    return names - {""}
