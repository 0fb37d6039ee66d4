"""Every file below a folder: what may be audio, and what is left out without being opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from pipeline.corpora.audio import AudioFileError, printable
from pipeline.errors import InputError

_CHECKPOINT = "-checkpoint"  # what notebooks append to the names of the copies they keep


class FolderError(InputError):
    """A folder that is missing, holds no audio, or does not match its counterpart."""


@dataclass(frozen=True)
class Listing:
    """The files below `root` in the order of their names, relative to it.

    Attributes:
        root: the folder that was given.
        files: every file that may be audio; their content is not looked at here.
        left_out: everything else, with the reason.
    """

    root: Path
    files: tuple[PurePath, ...]
    left_out: tuple[AudioFileError, ...]


def list_files(root: Path, what: str) -> Listing:
    """List a folder and what its links lead to.

    Left out are hidden files and those in hidden folders, checkpoint copies, links that lead
    nowhere or back to a folder above them, what is no regular file, and folders that cannot be
    read. A folder that several links lead to is entered by one of them.

    Raises:
        FolderError: there is no such folder, or it holds no file to look at. `what` names its
            content.
    """
    if not root.is_dir():
        raise FolderError(f"{printable(root)}: there is no such folder of {what}; check the path")
    found = list(_walk(root, PurePath(), (root.resolve(),), False, set()))
    files = tuple(entry for entry in found if isinstance(entry, PurePath))
    left_out = tuple(entry for entry in found if isinstance(entry, AudioFileError))
    if not files:
        hidden = f" but {len(left_out)} left out, first {left_out[0]}" if left_out else ""
        raise FolderError(f"{printable(root)}: no file of {what} in it{hidden}; add recordings")
    return Listing(root, files, left_out)


def _walk(
    root: Path, folder: PurePath, above: tuple[Path, ...], hidden: bool, linked: set[Path]
) -> Iterator[PurePath | AudioFileError]:
    """Files of `root / folder`; `above` are the real folders on the way down to it."""
    try:
        names = sorted(os.listdir(root / folder))
    except OSError as error:
        yield AudioFileError(root / folder, f"cannot be read ({error.strerror})", "allow it")
        return
    for name in names:
        path = root / folder / name
        try:
            mode = path.stat().st_mode
        except OSError as error:
            yield AudioFileError(path, f"cannot be reached ({error.strerror})", "mend or remove it")
            continue
        concealed = hidden or name.startswith(".")
        if stat.S_ISDIR(mode):
            real = path.resolve()
            if real in above:
                yield AudioFileError(path, "links back to a folder above it", "nothing to do")
            elif path.is_symlink() and real in linked:
                yield AudioFileError(path, "another link leads to this folder", "nothing to do")
            else:
                linked |= {real} if path.is_symlink() else set()
                yield from _walk(root, folder / name, (*above, real), concealed, linked)
        elif not stat.S_ISREG(mode):
            yield AudioFileError(path, "is no regular file", "remove it")
        elif concealed:
            yield AudioFileError(path, "hidden", "rename it if it is meant to be used")
        elif path.stem.endswith(_CHECKPOINT):
            yield AudioFileError(path, "a checkpoint copy", "rename it if it is meant to be used")
        else:
            yield folder / name
