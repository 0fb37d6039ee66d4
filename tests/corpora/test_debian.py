"""The table of packages, and unpacking that trusts nothing."""

import hashlib
import io
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.corpora import debian
from pipeline.corpora.debian import MORE_PACKAGES, PACKAGES, Package, PackageError, Rule, read_cat
from pipeline.corpora.mixing import NOISE_KIND_WEIGHTS
from pipeline.corpora.sources import material_of
from pipeline.errors import InputError

ALL_PACKAGES = PACKAGES + MORE_PACKAGES


def ar(members: dict[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
        parts.append(data + b"\n" * (len(data) & 1))
    return b"".join(parts)


def deb(
    files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = (), *, compression: str = "xz"
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    content = f"data.tar.{compression}".rstrip(".")
    return ar({"debian-binary": b"2.0\n", "control.tar.xz": b"x", content: buffer.getvalue()})


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


def test_containers_may_be_larger_than_what_is_taken_out_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "_MAX_MEMBER_BYTES", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("textures/large.dds", bytes(5000))
        archive.writestr("audio/large.ogg", bytes(1001))
        archive.writestr("audio/wind.ogg", bytes(1000))
    assert len(buffer.getvalue()) > 1000
    data = deb({"./large.ogg": bytes(1001), "./public.zip": buffer.getvalue(), "./a.ogg": b"a"})
    zipped = package(data, tmp_path / "a", r"\.ogg$", r"\.zip$")
    names = [clip.name for clip in debian.fetch(tmp_path / "a", (zipped,))]
    assert names == ["noises/audio/wind.ogg"]
    found = [path.name for path in (tmp_path / "a" / "files").rglob("*") if path.is_file()]
    assert found == ["wind.ogg"]  # the copy of the container is gone
    plain = package(data, tmp_path / "b", r"\.ogg$")
    assert [clip.name for clip in debian.fetch(tmp_path / "b", (plain,))] == ["noises/a.ogg"]


@pytest.mark.parametrize("compression", ["gz", ""])
def test_packages_are_read_as_streams(tmp_path: Path, compression: str) -> None:
    size = 8 << 20
    noise = random.Random(1).randbytes(size)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("noise.bin", noise)
        archive.writestr("wind.ogg", b"wind")
    data = deb({"./public.zip": buffer.getvalue()}, compression=compression)
    zipped = package(data, tmp_path, r"\.ogg$", r"\.zip$")
    del data, noise, buffer
    tracemalloc.start()
    (clip,) = debian.fetch(tmp_path, (zipped,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.path.read_bytes() == b"wind"
    assert peak < size / 2


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
    for entry in ALL_PACKAGES:
        for rule in entry.rules:
            if rule.speaker:
                speakers.setdefault(rule.split, set()).add(rule.speaker)
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert not speakers["valid"] & speakers["test"]
    for entry in ALL_PACKAGES:
        noise_splits = {rule.split for rule in entry.rules if rule.role == "noise"}
        assert len(noise_splits) <= 1 or entry.name == "asterisk-moh-opsound-g722"


def test_music_tracks_share_no_artist() -> None:
    (music,) = [entry for entry in PACKAGES if entry.name == "asterisk-moh-opsound-g722"]
    tracks = ["macroform-cold_day", "manolo_camp-morning_coffee", "reno_project-system"]
    for track, split in zip(tracks, ("train", "valid", "test"), strict=True):
        taking = [rule for rule in music.rules if rule.takes(f"/moh/{track}.g722")]
        assert [rule.split for rule in taking] == [split]


def test_reserved_recordings_are_never_taken() -> None:
    assert not any("ru-g722" in entry.name for entry in ALL_PACKAGES)
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
        for entry in ALL_PACKAGES:
            for rule in entry.rules:
                if rule.role == role and rule.kind in kinds:
                    found.setdefault(label(entry, rule), set()).add(rule.split)
        return {name for name, splits in found.items() if len(splits) > 1}

    assert sides(lambda entry, rule: rule.speaker, "speech", {"speech"}) == set()
    noises = {"ambience", "impulsive", "keys", "voice"}
    assert sides(lambda entry, rule: entry.name, "noise", noises) == set()


def test_every_package_is_pinned() -> None:
    for entry in ALL_PACKAGES:
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.version
        assert all(rule.licence for rule in entry.rules)
    assert len({entry.sha256 for entry in ALL_PACKAGES}) == len(ALL_PACKAGES)
    assert len({entry.name for entry in ALL_PACKAGES}) == len(ALL_PACKAGES)


def test_more_packages_are_to_train_with_alone() -> None:
    rules = [rule for entry in MORE_PACKAGES for rule in entry.rules]
    assert {rule.split for rule in rules} == {"train"}
    assert {rule.role for rule in rules} == {"speech", "noise"}
    assert {rule.kind for rule in rules if rule.role == "noise"} <= set(NOISE_KIND_WEIGHTS)
    voices = [rule for rule in rules if rule.role == "speech"]
    assert all(rule.speaker and rule.weight < 1 for rule in voices)
    assert len({rule.speaker for rule in voices}) == len(voices)
    assert not {rule.speaker for rule in voices} & {
        rule.speaker for entry in PACKAGES for rule in entry.rules
    }


def test_neither_languages_of_valid_and_test_nor_bad_recordings_are_among_more_voices() -> None:
    (letters,) = [entry for entry in MORE_PACKAGES if entry.name == "klettres-data"]
    spoken = {
        language: rule.speaker
        for language in ("it", "fr", "el", "lt", "uk", "wa", "hu", "ml", "nds", "de")
        for folder in ("alpha", "syllab")
        for rule in letters.rules
        if rule.takes(f"./usr/share/klettres/{language}/{folder}/a-0.ogg")
    }
    assert spoken == {"de": "klettres-de"}


@pytest.mark.parametrize(
    ("name", "path", "kind"),
    [
        ("0ad-data", "audio/resource/wood/axe_01.ogg", "tools"),
        ("0ad-data", "audio/actor/fauna/animal/sheep_1.ogg", "animals"),
        ("0ad-data", "audio/voice/hele/male/attack_1.ogg", None),
        ("wesnoth-1.16-data", "/usr/share/core/sounds/ambient/wardrums.ogg", "ambience"),
        ("wesnoth-1.16-data", "/usr/share/core/sounds/human-die-1.ogg", None),
        ("widelands-data", "/usr/share/data/sound/sawmill/sawmill.ogg", "tools"),
        ("widelands-data", "/usr/share/data/sound/barbarians/taverns/ale.ogg", "ambience"),
        ("supertuxkart-data", "/usr/share/data/sfx/engine_large.ogg", "machines"),
        ("supertuxkart-data", "/usr/share/data/sfx/airport_pa.ogg", None),
        ("flightgear-data-base", "/flightgear/Sounds/rain1.wav", "ambience"),
        ("flightgear-data-base", "/flightgear/Sounds/jet.wav", "machines"),
        ("flightgear-data-base", "/flightgear/Aircraft/c172p/Sounds/coughing.wav", None),
        ("openarena-data", "sound/world/moan1.wav", None),
        ("fillets-ng-data", "/fillets-ng/sound/gods/en/bat-t-budik.ogg", "impulsive"),
        ("fillets-ng-data", "/fillets-ng/sound/elk/en/deu-l-tovarisci.ogg", None),
        ("unknown-horizons", "/content/audio/sounds/smith.ogg", "tools"),
        # A recording of the test was cut from it.
        ("unknown-horizons", "/content/audio/sounds/sheepfield.ogg", None),
    ],
)
def test_more_noise_is_sorted_by_kind_and_voices_are_kept_out(
    name: str, path: str, kind: str | None
) -> None:
    (entry,) = [entry for entry in MORE_PACKAGES if entry.name == name]
    kinds = [rule.kind for rule in entry.rules if rule.takes(path)]
    assert kinds[:1] == ([kind] if kind else [])


def test_more_packages_are_fetched_where_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[Package, ...]] = []

    def fetch(cache_dir: Path, packages: tuple[Package, ...], **_: object) -> list[object]:
        fetched.append(packages)
        return []

    monkeypatch.setattr(debian, "fetch", fetch)
    for wanted in (False, True):
        material = material_of("debian", more_packages=wanted, cache_dir=tmp_path)
        assert material.published == "debian"
    assert fetched == [PACKAGES, PACKAGES + MORE_PACKAGES]
    with pytest.raises(InputError, match="'embedded' has no more packages; choose \"debian\""):
        material_of("embedded", more_packages=True)
    assert len(fetched) == 2
