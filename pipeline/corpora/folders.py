"""A folder of clean speech and a folder of noise, to be mixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

from pipeline.corpora.audio import AudioFileError, printable
from pipeline.corpora.listing import FolderError, Listing, list_files
from pipeline.corpora.material import Material
from pipeline.corpora.parts import divide, named_parts
from pipeline.corpora.speakers import known_speaker
from pipeline.corpora.store import NOISE, SPEECH, Clip

UNKNOWN_LICENCE = "not recorded"
VOICE = "voice"
_NOISE_KINDS = {"music": "music", "speech": VOICE, "babble": "babble"}


def folder_material(clean_dir: Path, noise_dir: Path) -> Material:
    """What lies in a folder of clean speech and one of noise (LibriSpeech, MUSAN, DNS, ...).

    Noise below a folder named `music` is music; below `speech` it is only used in babble.

    Raises:
        FolderError: a folder is missing, holds nothing, or holds the other one.
    """
    speech, noise = list_files(clean_dir, "clean speech"), list_files(noise_dir, "noise")
    one, other = clean_dir.resolve(), noise_dir.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise FolderError(
            f"{printable(noise_dir)}: is, holds or lies in the folder of clean speech "
            f"{printable(clean_dir)}, so speech would be mixed in as noise; give two folders side "
            "by side"
        )
    return Material(
        clips=(*_clips(speech, SPEECH), *_clips(noise, NOISE)),
        left_out=(*speech.left_out, *noise.left_out),
        divide=divide,
    )


def training_material(folder: Path, role: str) -> tuple[list[Clip], tuple[AudioFileError, ...]]:
    """A folder all of which is trained with: its clips, and the files that are none.

    Args:
        folder: of recordings of one role.
        role: "speech" or "noise". Where file names of speech do not tell the speaker, each folder
            counts as one voice.

    Raises:
        FolderError: the folder is missing or holds nothing.
    """
    listing = list_files(folder, "clean speech" if role == SPEECH else "noise")
    clips = [
        replace(
            clip,
            split="train",
            speaker=clip.speaker or str(PurePath(clip.name).parent),
        )
        for clip in _clips(listing, role)
    ]
    return clips, listing.left_out


def clip_name(root: Path, path: PurePath) -> str:
    """Name of a clip: the folder's own name and the path below it, in valid UTF-8."""
    return printable(PurePath(root.resolve().name) / path)


def _clips(listing: Listing, role: str) -> list[Clip]:
    parts = named_parts(listing.files)
    clips = []
    for path in listing.files:
        kind = _noise_kind(path) if role == NOISE else SPEECH
        speaker = printable(path) if role == NOISE else known_speaker(PurePath(printable(path)))
        clips.append(
            Clip(
                path=listing.root / path,
                name=clip_name(listing.root, path),
                source=printable(listing.root.resolve().name),
                speaker=speaker or "",
                licence=UNKNOWN_LICENCE,
                kind=kind,
                role=role,
                split=parts.get(path, ""),
            )
        )
    return clips


def _noise_kind(path: PurePath) -> str:
    kinds = [_NOISE_KINDS[part.lower()] for part in path.parts[:-1] if part.lower() in _NOISE_KINDS]
    return kinds[0] if kinds else "ambience"
