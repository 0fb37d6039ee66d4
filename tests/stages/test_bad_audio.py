"""A corpus with everything wrong with it: what is said, and that training never notices."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.artefacts import CARD_NAME, RunDir
from pipeline.config import Config, Data, Mixing
from pipeline.corpora import prepared
from pipeline.corpora.augment import Extras
from pipeline.corpora.listing import FolderError
from pipeline.inputs import prepared_corpus, prepared_front_end, training_mixer
from pipeline.reporting.table import NO_VALUE
from pipeline.stages import prepare

RATE_HZ = 16_000
MESSAGES = {
    "text.wav": "not readable as audio",
    "no_bytes.flac": "the file is empty (0 bytes)",
    "no_samples.wav": "the file holds no samples",
    "cut_off.flac": "not readable as audio (Error : flac decoder lost sync)",
    "silent.wav": "silent: active level -200 dBFS",
    "clipped.wav": "clipped: ",
    "not_a_number.wav": "1 samples are NaN or infinite",
    "short.wav": "too short: 0.10 s",
    "telephone.wav": "recorded at 8000 Hz, at least 16000 Hz is needed",
    "telephone_codec.wav": "encoded for telephones (GSM 6.10)",
    "integers.wav": "the scale is wrong: samples reach ",
    "offset.wav": "silent: active level ",
    "page.g722": "holds text, not G.722",
    "._hidden.wav": "hidden",
    ".ipynb_checkpoints/good-checkpoint.wav": "hidden",
    "readme.txt": "not readable as audio (Format not recognised)",
    "gone.wav": "cannot be reached (No such file or directory)",
    "again": "links back to a folder above it",
    "copy.wav": "the same recording as ",
    "Stra\\xdfe.flac": "not readable as audio (Format not recognised)",
}


def recording(seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(2 * RATE_HZ)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """One good recording for each split and role."""
    monkeypatch.setattr(prepared, "extras_for", lambda speech_duration_s: Extras())
    for number, role in enumerate(("clean", "noise")):
        for split in ("train", "valid", "test"):
            folder = tmp_path / role / split
            folder.mkdir(parents=True)
            soundfile.write(folder / "good.wav", recording(10 * number + ord(split[1])), RATE_HZ)
    data = Data(source="folders", clean_dir=tmp_path / "clean", noise_dir=tmp_path / "noise")
    return Config(data=data, mixing=Mixing(crop_s=1.0))


def add_bad_files(folder: Path) -> None:
    noise = recording(99)
    (folder / "text.wav").write_text("hello")
    (folder / "no_bytes.flac").touch()
    soundfile.write(folder / "no_samples.wav", noise[:0], RATE_HZ)
    soundfile.write(folder / "cut_off.flac", noise, RATE_HZ)
    intact = (folder / "cut_off.flac").read_bytes()
    (folder / "cut_off.flac").write_bytes(intact[: len(intact) // 2])
    soundfile.write(folder / "silent.wav", 0 * noise, RATE_HZ)
    soundfile.write(folder / "clipped.wav", np.clip(20 * noise, -1, 1), RATE_HZ)
    holed = noise.copy()
    holed[100] = np.nan
    soundfile.write(folder / "not_a_number.wav", holed, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "short.wav", noise[: RATE_HZ // 10], RATE_HZ)
    soundfile.write(folder / "telephone.wav", noise, RATE_HZ // 2)
    soundfile.write(folder / "telephone_codec.wav", noise, RATE_HZ, subtype="GSM610")
    soundfile.write(folder / "integers.wav", 32768 * noise, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "offset.wav", 0 * noise + 0.1, RATE_HZ)
    (folder / "page.g722").write_text("<html>no such recording</html>\n" * 200)
    (folder / "._hidden.wav").write_bytes(bytes(4096))
    (folder / ".ipynb_checkpoints").mkdir()
    soundfile.write(folder / ".ipynb_checkpoints" / "good-checkpoint.wav", noise, RATE_HZ)
    (folder / "readme.txt").write_text("hello")
    (folder / "gone.wav").symlink_to(folder / "nothing")
    (folder / "again").symlink_to(folder.parent)
    shutil.copy(folder / "good.wav", folder / "copy.wav")
    (folder / os.fsdecode(b"Stra\xdfe.flac")).write_text("hello")


@pytest.mark.parametrize("role", ["clean", "noise"])
def test_bad_files_are_named_counted_and_left_out(
    role: str,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prepare, "LINES_SHOWN", len(MESSAGES))
    folder = tmp_path / role / "train"
    add_bad_files(folder)
    run_dir = RunDir(tmp_path / "run")
    (card,) = prepare.run(config, run_dir)
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    left_out = card.results["left_out"]
    assert shown == [
        *(f"left out: {line}" for line in left_out),
        f"left out: {len(MESSAGES)} files in all",
    ]
    for name, message in MESSAGES.items():
        if name == "copy.wav":  # comes before the recording it is a copy of
            name = "good.wav"
        assert sum(line.startswith(f"{folder}/{name}: {message}") for line in left_out) == 1, name
    assert len(left_out) == len(MESSAGES)
    (again,) = RunDir(tmp_path / "run").path("prepare").glob(CARD_NAME)
    assert json.loads(again.read_text(encoding="utf-8"))["results"]["left_out"] == left_out

    mixer = training_mixer(config, prepared_corpus(run_dir))
    for step in range(3):
        assert all(np.isfinite(part).all() for part in mixer.batch(step, 8))
    front_end = prepared_front_end(run_dir)
    assert np.isfinite(front_end.mean).all()
    assert np.isfinite(front_end.deviation).all()


def test_many_bad_files_are_summed_up(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "noise" / "train"
    for number in range(prepare.LINES_SHOWN + 3):
        (folder / f"{number:02d}.wav").touch()
    (folder / "text.wav").write_text("hello")
    (card,) = prepare.run(config, RunDir(tmp_path / "run"))
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert shown[0] == (
        f"left out: {folder}/00.wav: the file is empty (0 bytes); record or copy it again "
        "(23 such files)"
    )
    assert shown[1].startswith(f"left out: {folder}/text.wav: not readable as audio")
    assert shown[2:] == ["left out: 24 files in all; the card of this stage names each"]
    assert len(card.results["left_out"]) == 24


def test_the_parts_are_shown_as_a_table_and_stand_in_the_card(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (card,) = prepare.run(config, RunDir(tmp_path / "run"))
    shown = capsys.readouterr().err.splitlines()
    assert "  part   role    speakers  files  minutes" in shown
    assert f"  valid  speech         {NO_VALUE}      1      0.0" in shown
    assert [(p["part"], p["role"], p["files"]) for p in card.results["parts"]] == [
        (part, role, 1) for part in ("train", "valid", "test") for role in ("speech", "noise")
    ]
    (note,) = card.results["notes"]
    assert "names tell no speaker of 3 of 3 files" in note
    assert note in shown


def test_a_folder_without_one_good_file_is_refused(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for part in ("train", "valid", "test"):
        (tmp_path / "clean" / part / "good.wav").write_text("not any more")
    arguments = [f"--run-dir={tmp_path / 'run'}", "--data.source=folders"]
    arguments += [f"--data.{role}-dir={tmp_path / role}" for role in ("clean", "noise")]
    monkeypatch.setattr("sys.argv", ["prepare", "--config=configs/toy.toml", *arguments])
    with pytest.raises(SystemExit) as stop:
        prepare.stage_main(prepare.run)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'clean'}: no usable audio file among 3\n" in said
    for part in ("train", "valid", "test"):
        assert f"{tmp_path / 'clean' / part / 'good.wav'}: not readable as audio" in said
    assert not (tmp_path / "run" / "prepare").exists()


def test_an_unusable_file_is_never_a_whole_part(config: Config, tmp_path: Path) -> None:
    for role, data in (("clean", b"not audio"), ("noise", bytes(4096))):
        for part in ("train", "valid", "test"):
            (tmp_path / role / part / "good.wav").rename(tmp_path / role / f"{part}_1.wav")
            (tmp_path / role / part).rmdir()
        for name in ("._a.wav", "broken_1.wav", "broken_2.flac", "zz_1.ogg"):
            (tmp_path / role / name).write_bytes(data)
    (card,) = prepare.run(config, RunDir(tmp_path / "run"))
    assert [part["files"] for part in card.results["parts"]] == [1] * 6
    assert len(card.results["left_out"]) == 8


def test_what_was_left_out_is_named_where_the_rest_is_too_little(
    config: Config, tmp_path: Path
) -> None:
    for part in ("valid", "test"):
        (tmp_path / "noise" / part / "good.wav").rename(tmp_path / "noise" / f"{part}.wav")
    (tmp_path / "noise" / "train" / "good.wav").write_text("not audio")
    message = r"noise: 2 usable files, 2 file\(s\), cannot be split .*; 1 left out\n.*not readable"
    with pytest.raises(FolderError, match=message):
        prepare.run(config, RunDir(tmp_path / "run"))
