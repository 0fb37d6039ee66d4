"""What the demo does with a bad input or output, before any board is started."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.boards import demo


def write_tone(path: Path, subtype: str = "PCM_16", rate_hz: int = 16_000) -> None:
    soundfile.write(path, np.sin(np.arange(rate_hz) / 5), rate_hz, subtype)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        demo.main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ") and text.count("\n") == 1
    return text


def bad_recordings(folder: Path) -> list[Path]:
    empty, header, text, archive, nan = (
        folder / f"{name}.wav" for name in ("empty", "header", "text", "archive", "nan")
    )
    empty.write_bytes(b"")
    soundfile.write(header, np.zeros(0, np.int16), 16_000)
    text.write_text("no sound")
    content = io.BytesIO()
    zipfile.ZipFile(content, "w").close()
    archive.write_bytes(content.getvalue())
    soundfile.write(nan, np.array([0, np.nan], np.float32), 16_000, "FLOAT")
    return [empty, header, text, archive, nan, folder / "absent.wav", folder]


def test_bad_recordings_are_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for path in bad_recordings(tmp_path):
        assert str(path) in failure(capsys, "--noisy", path, "--out", out)
    assert not out.exists()


def test_outputs_never_replace_the_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = tmp_path / "noisy.wav"
    write_tone(noisy, "FLOAT", 48_000)
    before = noisy.read_bytes()
    linked = tmp_path / "linked.wav"
    linked.symlink_to(noisy)
    for path in (noisy, linked):
        assert "would be overwritten" in failure(capsys, "--noisy", path, "--out", tmp_path)
    assert noisy.read_bytes() == before


def test_bad_folders_models_and_images_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    firmware = tmp_path / "enhancer.elf"
    assert "enhancer.elf" in failure(capsys, "--firmware", firmware)
    assert "no .tflite model" in failure(capsys, "--models", tmp_path)
    first = tmp_path / "a" / "m.tflite"
    second = tmp_path / "b" / "m.tflite"
    assert "two models are named m" in failure(capsys, "--model", first, "--model", second)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_U8"])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
def test_recordings_of_any_kind_are_read_at_their_level(
    tmp_path: Path, subtype: str, rate_hz: int, format: str
) -> None:
    path = tmp_path / "noisy.wav"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)
    soundfile.write(path, np.stack([tone, tone], axis=1), rate_hz, subtype, format=format)
    samples, _ = demo._read(path)
    assert samples.dtype == np.int16
    assert abs(len(samples) - 16_000) <= 1
    assert samples[2000:14000].std() == pytest.approx(32768 * 0.5 / np.sqrt(2), rel=0.01)
