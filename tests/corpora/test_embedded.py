"""The shipped corpus: intact, licensed, small, split like the packages it comes from."""

import hashlib
import json

import pytest

from pipeline.corpora.debian import PACKAGES
from pipeline.corpora.embedded import FOLDER, MANIFEST

ENTRIES = json.loads((FOLDER / MANIFEST).read_text())["files"]
FREE = ("CC-BY-SA-3.0", "CC-BY-3.0", "CC0", "BSD-like")


def test_every_file_is_the_one_in_the_manifest_and_no_other() -> None:
    audio = {p.relative_to(FOLDER).as_posix() for p in FOLDER.rglob("*.*") if p.is_file()}
    audio = {name for name in audio if name.startswith(("train/", "valid/", "test/"))}
    assert audio == {entry["path"] for entry in ENTRIES}
    for entry in ENTRIES:
        data = (FOLDER / entry["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"], entry["path"]


def test_it_is_small() -> None:
    total_bytes = sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file())
    assert 12e6 < total_bytes < 20e6


def test_licences_allow_redistribution_and_are_shipped() -> None:
    attribution = (FOLDER / "ATTRIBUTION.md").read_text()
    for entry in ENTRIES:
        assert entry["licence"].startswith(FREE)
        assert "GPL" not in entry["licence"]
        assert entry["author"] in attribution
        assert f"| {entry['package']} |" in attribution
        assert (FOLDER / "LICENSES" / f"{entry['package']}.txt").stat().st_size > 0
    for entry in ENTRIES:
        if entry["package"] == "openttd-opensfx":
            assert entry["title"] in attribution


def test_test_recordings_come_from_test_lists_only() -> None:
    splits = {
        entry.name: {rule.split for rule in entry.rules if rule.split != "valid"}
        for entry in PACKAGES
    }
    for entry in ENTRIES:
        if entry["package"] == "asterisk-moh-opsound-g722":
            continue  # split by artist, below
        wanted = "test" if entry["split"] == "test" else "train"
        assert splits[entry["package"]] == {wanted}, entry["path"]


@pytest.mark.parametrize("role", ["speech", "noise"])
def test_no_speaker_or_artist_is_in_both_train_and_test(role: str) -> None:
    heard = {
        split: {e["speaker"] for e in ENTRIES if e["split"] == split and e["role"] == role}
        for split in ("train", "valid", "test")
    }
    assert not (heard["train"] | heard["valid"]) & heard["test"]
    music = {
        split: {e["author"] for e in ENTRIES if e["split"] == split and e["kind"] == "music"}
        for split in ("train", "valid", "test")
    }
    assert music == {
        "train": {"Paul Shuler (Macroform)"},
        "valid": {"Manolo Camp"},
        "test": {"Reno Project"},
    }
