"""A corpus with everything wrong with it: what is said, and that training never notices."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import prepare
from pipeline.artefacts import RunDir
from pipeline.config import Config, Data, Mixing
from pipeline.corpora import prepared
from pipeline.corpora.augment import Extras

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
    "locked.g722": "not readable as audio ([Errno 13] Permission denied",
}


@pytest.fixture
def noise() -> np.ndarray:
    return 0.1 * np.random.default_rng(1).standard_normal(2 * RATE_HZ)


@pytest.fixture
def config(noise: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """One good recording for each split and role."""
    monkeypatch.setattr(prepared, "extras_for", lambda speech_duration_s: Extras())
    for role in ("clean", "noise"):
        for split in ("train", "valid", "test"):
            folder = tmp_path / role / split
            folder.mkdir(parents=True)
            soundfile.write(folder / "good.wav", noise, RATE_HZ)
    data = Data(source="folders", clean_dir=tmp_path / "clean", noise_dir=tmp_path / "noise")
    return Config(data=data, mixing=Mixing(crop_s=1.0))


def add_bad_files(folder: Path, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
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
    (folder / "locked.g722").write_bytes(bytes(RATE_HZ))
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "locked.g722":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)


@pytest.mark.parametrize("role", ["clean", "noise"])
def test_bad_files_are_named_counted_and_left_out(
    role: str,
    config: Config,
    noise: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / role / "train"
    add_bad_files(folder, noise, monkeypatch)
    run_dir = RunDir(tmp_path / "run")
    card = prepare.run(config, run_dir)
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    store = "train_speech" if role == "clean" else "train_noise"
    skipped = card.results[store]["skipped"]
    assert shown == [f"left out: {line}" for line in skipped]
    for name, message in MESSAGES.items():
        assert sum(line.startswith(f"{folder / name}: {message}") for line in skipped) == 1, name
    assert len(skipped) == len(MESSAGES)

    mixer = prepare.training_mixer(config, prepare.prepared_corpus(run_dir))
    for step in range(3):
        assert all(np.isfinite(part).all() for part in mixer.batch(step, 8))
    front_end = prepare.prepared_front_end(run_dir)
    assert np.isfinite(front_end.mean).all()
    assert np.isfinite(front_end.deviation).all()


def test_many_bad_files_are_summed_up(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(prepare.LINES_SHOWN + 3):
        (tmp_path / "noise" / "train" / f"{number}.wav").touch()
    prepare.run(config, RunDir(tmp_path / "run"))
    shown = capsys.readouterr().err
    assert shown.count("the file is empty (0 bytes)") == prepare.LINES_SHOWN
    assert "left out: 3 more files, listed in the card" in shown


def test_a_folder_without_one_good_file_is_refused(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "clean" / "valid" / "good.wav").write_text("not any more")
    arguments = [f"--run-dir={tmp_path / 'run'}", "--data.source=folders"]
    arguments += [f"--data.{role}-dir={tmp_path / role}" for role in ("clean", "noise")]
    monkeypatch.setattr("sys.argv", ["prepare", "--config=configs/toy.toml", *arguments])
    with pytest.raises(SystemExit) as stop:
        prepare.stage_main(prepare.run)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "no usable audio file among 1" in said
    assert f"{tmp_path / 'clean' / 'valid' / 'good.wav'}: not readable as audio" in said
    assert not (tmp_path / "run" / "prepare").exists()
