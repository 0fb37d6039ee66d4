"""The table of packages, and unpacking that trusts nothing."""

import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.corpora import debian
from pipeline.corpora.debian import PACKAGES, Package, PackageError, Rule, read_cat


def ar(members: dict[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
        parts.append(data + b"\n" * (len(data) & 1))
    return b"".join(parts)


def deb(files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return ar({"debian-binary": b"2.0\n", "control.tar.xz": b"x", "data.tar.xz": buffer.getvalue()})


def package(data: bytes, cache_dir: Path, pattern: str, container: str | None = None) -> Package:
    """A package whose .deb already lies in the cache."""
    rule = Rule("train", "noise", "ambience", "CC0", pattern)
    result = Package("noises", "1.0", hashlib.sha256(data).hexdigest(), (rule,), container)
    (cache_dir / "deb").mkdir(parents=True, exist_ok=True)
    (cache_dir / "deb" / result.file_name).write_bytes(data)
    return result


def cat(sounds: list[tuple[str, bytes]]) -> bytes:
    offset, table, bodies = 8 * len(sounds), b"", b""
    for name, wav in sounds:
        text = name.encode() + b"\0"
        body = bytes([len(text)]) + text + wav
        table += struct.pack("<II", offset + len(bodies), len(wav))
        bodies += body
    return table + bodies


def test_only_files_a_rule_names_are_unpacked(tmp_path: Path) -> None:
    files = {
        "./usr/share/a/one.wav": b"1",
        "./usr/share/a/two.txt": b"2",
        "./usr/share/b/same.wav": b"1",
        "./usr/share/doc/copyright": b"free",
    }
    noises = package(deb(files), tmp_path, r"\.wav$")
    progress: list[tuple[int, int]] = []
    clips = debian.fetch(tmp_path, (noises,), progress=lambda *p: progress.append(p))
    assert [clip.name for clip in clips] == ["noises/usr/share/a/one.wav"]  # a copy counts once
    assert clips[0].speaker == "noises/a"
    assert progress == [(1, 1)]
    found = sorted(p.name for p in (tmp_path / "files").rglob("*") if p.is_file())
    assert found == ["one.wav", "same.wav"]
    (tmp_path / "deb" / noises.file_name).unlink()
    assert debian.fetch(tmp_path, (noises,)) == clips  # nothing is needed any more
    assert debian.read_text.__doc__


def test_the_copyright_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    path.write_bytes(deb({"./usr/share/doc/a/copyright": "für alle".encode()}))
    assert debian.read_text(path, r"/copyright$") == "für alle"
    with pytest.raises(PackageError, match="has no file like 'licence'"):
        debian.read_text(path, "licence")


def test_paths_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    hostile = package(deb({"../../evil.wav": b"x"}), tmp_path / "cache", r"\.wav$")
    with pytest.raises(PackageError, match=r"'\.\./\.\./evil\.wav' points outside"):
        debian.fetch(tmp_path / "cache", (hostile,))
    assert not list(tmp_path.rglob("evil.wav"))
    assert not (tmp_path / "cache" / "files" / "noises_1.0").exists()


def test_links_and_devices_are_ignored(tmp_path: Path) -> None:
    link, device = tarfile.TarInfo("./link.wav"), tarfile.TarInfo("./device.wav")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    linked = package(deb({"./a.wav": b"1"}, (link, device)), tmp_path, r"\.wav$")
    assert [clip.path.name for clip in debian.fetch(tmp_path, (linked,))] == ["a.wav"]


def test_containers_are_opened(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("sound/ambience/wind.ogg", b"wind")
        archive.writestr("sound/weapons/gun.ogg", b"gun")
        archive.writestr("../sound/ambience/up.ogg", b"up")
    data = deb({"./base/0snd.pk3": buffer.getvalue()})
    zipped = package(data, tmp_path / "a", r"sound/ambience/[^/]+\.ogg$", r"\.pk3$")
    names = [clip.name for clip in debian.fetch(tmp_path / "a", (zipped,))]
    assert names == ["noises/sound/ambience/up.ogg", "noises/sound/ambience/wind.ogg"]
    assert not (tmp_path / "a" / "files" / "sound").exists()
    data = deb({"./x/sounds.cat": cat([("Jet (1)/..", b"RIFF1"), ("Rain", b"RIFF22")])})
    packed = package(data, tmp_path / "b", r"\.wav$", r"\.cat$")
    clips = debian.fetch(tmp_path / "b", (packed,))
    assert [clip.path.name for clip in clips] == ["00_Jet_1.wav", "01_Rain.wav"]
    assert clips[1].path.read_bytes() == b"RIFF22"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1234", "under 8 bytes"),
        (struct.pack("<II", 8000, 4), "table lies outside"),
        (struct.pack("<II", 0, 4), "table lies outside"),
        (struct.pack("<IIII", 16, 4, 900, 4) + b"\2a", "sound 1 lies outside"),
    ],
)
def test_malformed_cat_archives_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        list(read_cat(data))


def test_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    noises = package(deb({"./a.wav": b"1"}), tmp_path, r"\.wav$")
    with (tmp_path / "deb" / noises.file_name).open("ab") as file:
        file.write(b"!")
    message = rf"SHA-256 is [0-9a-f]{{64}}, expected {noises.sha256}; delete the file and fetch"
    with pytest.raises(PackageError, match=message):
        debian.fetch(tmp_path, (noises,))
    assert not (tmp_path / "files").exists()


@pytest.mark.parametrize("data", [b"PK\3\4 not a deb", ar({"debian-binary": b"2.0\n"})])
def test_what_is_no_package_is_refused(tmp_path: Path, data: bytes) -> None:
    noises = package(data, tmp_path, r"\.wav$")
    with pytest.raises(PackageError, match="delete it and fetch it again"):
        debian.fetch(tmp_path, (noises,))


def test_a_missing_downloader_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = Package("absent", "1.0", "0" * 64, ())
    message = r"absent_1\.0_all\.deb: cannot be downloaded \(apt-get is not installed\); run `apt"
    with pytest.raises(PackageError, match=message):
        debian.fetch(tmp_path, (absent,))


def test_splits_share_no_speaker_and_no_noise() -> None:
    speakers: dict[str, set[str]] = {}
    for entry in PACKAGES:
        for rule in entry.rules:
            if rule.speaker:
                speakers.setdefault(rule.split, set()).add(rule.speaker)
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert not speakers["valid"] & speakers["test"]
    for entry in PACKAGES:
        noise_splits = {rule.split for rule in entry.rules if rule.role == "noise"}
        assert len(noise_splits) <= 1 or entry.name == "asterisk-moh-opsound-g722"


def test_music_tracks_share_no_artist() -> None:
    (music,) = [entry for entry in PACKAGES if entry.name == "asterisk-moh-opsound-g722"]
    tracks = ["macroform-cold_day", "manolo_camp-morning_coffee", "reno_project-system"]
    for track, split in zip(tracks, ("train", "valid", "test"), strict=True):
        taking = [rule for rule in music.rules if rule.takes(f"/moh/{track}.g722")]
        assert [rule.split for rule in taking] == [split]


def test_reserved_recordings_are_never_taken() -> None:
    assert not any("ru-g722" in entry.name for entry in PACKAGES)
    stamps = next(entry for entry in PACKAGES if entry.name == "tuxpaint-stamps-default")
    for language in ("be", "ca", "da", "es", "ru"):
        name = f"./usr/share/tuxpaint/stamps/animals/cat_desc_{language}.ogg"
        assert not any(rule.takes(name) for rule in stamps.rules)
    takes = {
        language: [r.split for r in stamps.rules if r.takes(f"/stamps/cat_desc_{language}.ogg")]
        for language in ("ro", "bg", "el", "fr")
    }
    assert takes == {
        "ro": ["train"],
        "bg": ["train"],
        "el": ["valid"],
        "fr": ["valid"],
    }


def test_no_speaker_language_or_noise_package_is_on_two_sides() -> None:
    def sides(label: Callable[[Package, Rule], str], role: str, kinds: set[str]) -> set[str]:
        found: dict[str, set[str]] = {}
        for entry in PACKAGES:
            for rule in entry.rules:
                if rule.role == role and rule.kind in kinds:
                    found.setdefault(label(entry, rule), set()).add(rule.split)
        return {name for name, splits in found.items() if len(splits) > 1}

    assert sides(lambda entry, rule: rule.speaker, "speech", {"speech"}) == set()
    noises = {"ambience", "impulsive", "keys", "voice"}
    assert sides(lambda entry, rule: entry.name, "noise", noises) == set()


def test_every_package_is_pinned() -> None:
    for entry in PACKAGES:
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.version
        assert all(rule.licence for rule in entry.rules)
    assert len({entry.sha256 for entry in PACKAGES}) == len(PACKAGES)
