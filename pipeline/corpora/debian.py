"""Speech and noise from named, hash-pinned Debian packages, unpacked without installing them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pipeline.corpora.packages import package_table
from pipeline.corpora.store import Clip
from pipeline.errors import PipelineError

_MAX_MEMBER_BYTES = 256 << 20
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


class PackageError(PipelineError, RuntimeError):
    """A package that cannot be fetched or is not what the table says."""


@dataclass(frozen=True)
class Rule:
    """Which files of a package are used, and as what; see packages.toml."""

    split: str
    role: str
    kind: str
    licence: str
    pattern: str
    speaker: str = ""
    excluded: str = r"(?!)"
    weight: float = 1.0

    def takes(self, name: str) -> bool:
        return bool(re.search(self.pattern, name)) and not re.search(self.excluded, name)


@dataclass(frozen=True)
class Package:
    """One binary package of the Debian 12 archive."""

    name: str
    version: str
    sha256: str
    rules: tuple[Rule, ...]
    container: str | None = None
    architecture: str = "all"

    @property
    def file_name(self) -> str:
        """What apt names it; the colon behind an epoch is escaped."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def _package(entry: dict[str, Any]) -> Package:
    return Package(**entry | {"rules": tuple(Rule(**rule) for rule in entry["rules"])})


PACKAGES = tuple(_package(entry) for entry in package_table()["debian"])
MORE_PACKAGES = tuple(_package(entry) for entry in package_table()["more"])


def fetch(
    cache_dir: Path,
    packages: tuple[Package, ...] = PACKAGES,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Clip]:
    """Download what is missing, unpack the files the rules name, and return them as clips.

    Needs Debian's `apt-get` but neither root nor an installation. A .deb that already lies in
    `cache_dir/deb` with the right hash is not downloaded again.

    Raises:
        PackageError: a download failed, or a package's hash is not the pinned one.
    """
    clips: list[Clip] = []
    for done, package in enumerate(packages):
        folder = cache_dir / "files" / f"{package.name}_{package.version}"
        if not folder.is_dir():
            unpack(download(package, cache_dir / "deb"), package, folder)
        clips += _clips(package, folder)
        if progress:
            progress(done + 1, len(packages))
    return clips


def download(package: Package, deb_dir: Path) -> Path:
    """Fetch one .deb into `deb_dir` unless it is there, and check its hash either way."""
    deb_dir.mkdir(parents=True, exist_ok=True)
    path = deb_dir / package.file_name
    if not path.exists():
        command = ["apt-get", "download", f"{package.name}={package.version}"]
        try:
            result = subprocess.run(command, cwd=deb_dir, capture_output=True, text=True)
            failure = result.stderr.strip()
        except FileNotFoundError:
            failure = "apt-get is not installed"
        if not path.exists():
            raise PackageError(
                f"{package.file_name}: cannot be downloaded ({failure}); run `apt-get update`, or "
                f"put the file from any Debian 12 mirror into {deb_dir}"
            )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != package.sha256:
        raise PackageError(
            f"{path}: SHA-256 is {sha256}, expected {package.sha256}; delete the file and fetch "
            "it again"
        )
    return path


def unpack(deb: Path, package: Package, folder: Path) -> None:
    """Write the files of a .deb that some rule takes into `folder`, all of them or none."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with _data_members(deb) as tar:
        for member in tar:
            extracted = tar.extractfile(member) if member.isfile() else None
            if extracted is None:
                continue
            if package.container:
                if re.search(package.container, member.name):
                    _unpack_container(extracted, member.name, package, partial)
            elif member.size <= _MAX_MEMBER_BYTES and _rule(package, member.name):
                _write_inside(partial, member.name, extracted.read())
    os.rename(partial, folder)


def _write_inside(folder: Path, name: str, data: bytes) -> None:
    """Write a member of an archive; Debian 12's Python has no extraction filters (PEP 706) yet."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise PackageError(f"archive member {name!r} points outside its folder: fetch it again")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def read_text(deb: Path, pattern: str) -> str:
    """The first text file of a .deb whose path matches, such as its copyright."""
    with _data_members(deb) as tar:
        for member in tar:
            extracted = tar.extractfile(member) if member.isfile() else None
            if extracted is not None and re.search(pattern, member.name):
                return extracted.read(_MAX_MEMBER_BYTES).decode("utf-8")
    raise PackageError(f"{deb}: has no file like {pattern!r}; fetch it again")


def read_cat(data: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Sounds of an OpenTTD .cat archive as (number, file name, WAV bytes).

    The file begins with (offset, size) pairs of 32-bit little-endian words, the first offset
    telling where the table ends; each sound is a length-prefixed name, then the WAV file.
    """
    if len(data) < 8:
        raise PackageError("a .cat archive of under 8 bytes: fetch the package again")
    table_bytes = struct.unpack_from("<I", data)[0] & 0x7FFF_FFFF
    if not 8 <= table_bytes <= len(data):
        raise PackageError("a .cat archive whose table lies outside it: fetch the package again")
    for number in range(table_bytes // 8):
        offset, size = struct.unpack_from("<II", data, number * 8)
        offset &= 0x7FFF_FFFF
        if offset >= len(data):
            raise PackageError(f".cat sound {number} lies outside the file: fetch it again")
        name_bytes = data[offset]
        name = data[offset + 1 : offset + name_bytes].decode("latin1").rstrip("\0")
        body = data[offset + 1 + name_bytes : offset + 1 + name_bytes + size]
        start = body.find(b"RIFF")
        if start >= 0:
            yield number, name, body[start:]


@contextmanager
def _data_members(deb: Path) -> Iterator[tarfile.TarFile]:
    """The data.tar of a .deb, which is an ar archive (see deb(5)), read as a stream."""
    with deb.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise PackageError(f"{deb}: not a Debian package; delete it and fetch it again")
        while header := file.read(_AR_HEADER_BYTES):
            name = header[:16].decode("ascii", "replace").strip()
            size = int(header[48:58])
            if name.startswith("data.tar"):
                with tarfile.open(fileobj=file, mode="r|*") as tar:
                    yield tar
                return
            file.seek(size + (size & 1), os.SEEK_CUR)
    raise PackageError(f"{deb}: has no data.tar; delete it and fetch it again")


def _unpack_container(file: IO[bytes], name: str, package: Package, folder: Path) -> None:
    if name.endswith(".cat"):
        for number, sound, wav in read_cat(file.read(_MAX_MEMBER_BYTES)):
            safe = re.sub(r"[^A-Za-z0-9]+", "_", sound).strip("_")
            (folder / f"{number:02d}_{safe}.wav").write_bytes(wav)
        return
    # A zip archive is read from its end, the package as a stream.
    with tempfile.TemporaryFile(dir=folder) as copy:
        shutil.copyfileobj(file, copy)
        with zipfile.ZipFile(copy) as archive:
            for entry in archive.infolist():
                if entry.file_size <= _MAX_MEMBER_BYTES and _rule(package, entry.filename):
                    archive.extract(entry, folder)


def _rule(package: Package, name: str) -> Rule | None:
    return next((rule for rule in package.rules if rule.takes(name)), None)


def _clips(package: Package, folder: Path) -> Iterator[Clip]:
    seen: set[bytes] = set()
    for path in sorted(folder.rglob("*")):
        relative = PurePosixPath(path.relative_to(folder))
        rule = _rule(package, str(relative)) or _rule(package, f"/{relative}")
        if rule is None or not path.is_file():
            continue
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        yield Clip(
            path=path,
            name=f"{package.name}/{relative}",
            source=package.name,
            speaker=rule.speaker or f"{package.name}/{relative.parent.name}",
            licence=rule.licence,
            kind=rule.kind,
            role=rule.role,
            split=rule.split,
            weight=rule.weight,
        )
