"""Digests of what a setting names: a file's bytes, or all files of a folder with their names.

Reading a corpus of gigabytes again only to see that it is the same would take minutes, so digests
are remembered by what the file system says of a file (size, times, number), as Git does.
"""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import InputError


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digests:
    """Remembers in a file; what is there but cannot be read counts as such and is no error.

    Args:
        memory: the file; it need not exist, and a damaged one is started again.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._known = dict(json.loads(memory.read_text(encoding="utf-8")))

    def of(self, setting: str, path: Path) -> str:
        """Digest of a file, or of a folder with all below it; links are followed.

        Hidden files are left out: they are no data.

        Raises:
            InputError: there is nothing of this name; the text names the setting.
        """
        path = path.expanduser()
        if path.is_file():
            digest = self._file(path)
        elif path.is_dir():
            lines = [[str(p.relative_to(path)), self._file(p)] for p in sorted(_files(path))]
            digest = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
        else:
            raise InputError(f"{setting} = {str(path)!r}: no such file or folder")
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        self._memory.write_text(json.dumps(self._known))
        return digest

    def _file(self, path: Path) -> str:
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return "no file"
            seen = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
            name = str(path.absolute())
            if not str(self._known.get(name)).startswith(f"{seen}: "):
                self._known[name] = f"{seen}: {sha256_file(path)}"
            return self._known[name].rpartition(" ")[2]
        except OSError as error:
            return f"unreadable: {error.strerror}"


def _files(folder: Path) -> Iterator[Path]:
    """Every file below, those behind links too; a folder that links lead to again is read once."""
    visited = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in names if not name.startswith("."))
