"""Any sound file in, a file of the same shape out, or one line that names the file."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.recordings import RecordingError, RecordingReader, RecordingWriter


def tone(rate_hz: int, channels: int, seconds: float = 1.3) -> np.ndarray:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.stack([0.4 * np.sin(2 * np.pi * 440 * (k + 1) * time_s) for k in range(channels)], 1)


def copied(path: Path, target: Path) -> np.ndarray:
    """What comes out if nothing is done to the blocks."""
    with RecordingReader(path) as reader, RecordingWriter(target, reader) as writer:
        for block in reader.blocks():
            writer.write(block)
    return soundfile.read(target, always_2d=True)[0]


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_rate_channels_and_length_are_kept(tmp_path: Path, rate_hz: int, channels: int) -> None:
    signal = tone(rate_hz, channels)
    soundfile.write(tmp_path / "in.wav", signal, rate_hz, subtype="FLOAT")
    out = copied(tmp_path / "in.wav", tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").samplerate == rate_hz
    assert out.shape == signal.shape
    inner = slice(rate_hz // 10, -rate_hz // 10)
    np.testing.assert_allclose(out[inner], signal[inner], atol=2e-3)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_U8"), ("wav", "PCM_24"), ("wav", "DOUBLE"), ("flac", "PCM_16"), ("aiff", None),
     ("ogg", "VORBIS"), ("mp3", None)],
)  # fmt: skip
def test_formats_people_have_are_read(tmp_path: Path, suffix: str, subtype: str | None) -> None:
    path = tmp_path / f"in.{suffix}"
    soundfile.write(path, tone(16_000, 1), 16_000, subtype=subtype)
    out = copied(path, tmp_path / "out.wav")
    assert out.shape[0] == soundfile.info(path).frames
    assert 0.25 < np.sqrt(np.mean(np.square(out))) < 0.31


def test_sixteen_bits_at_16_khz_pass_unchanged(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 20_000).astype(np.int16)
    soundfile.write(tmp_path / "in.wav", samples, 16_000)
    copied(tmp_path / "in.wav", tmp_path / "out.wav")
    np.testing.assert_array_equal(soundfile.read(tmp_path / "out.wav", dtype="int16")[0], samples)


def test_what_does_not_fit_is_limited_and_counted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.full(100, 0.8), 16_000, subtype="FLOAT")
    with (
        RecordingReader(tmp_path / "in.wav") as reader,
        RecordingWriter(tmp_path / "out.wav", reader) as writer,
    ):
        for block in reader.blocks():
            writer.write(2 * block)
    assert writer.clipped_samples == 100
    assert soundfile.read(tmp_path / "out.wav", dtype="int16")[0].min() == 32767


def cut_off(path: Path) -> None:
    soundfile.write(path, tone(16_000, 1), 16_000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


DAMAGED = {
    "missing.wav": (lambda path: None, "there is no such file"),
    "empty.wav": (lambda path: path.write_bytes(b""), "not readable as sound"),
    "text.wav": (lambda path: path.write_text("RIFF is not enough"), "not readable as sound"),
    "header.wav": (lambda path: soundfile.write(path, np.zeros(0), 16_000), "no samples"),
    "half.flac": (cut_off, "damaged|cut off"),
    "loud.wav": (
        lambda path: soundfile.write(path, np.full(99, 1e30), 16_000, subtype="FLOAT"),
        "above 1e.06 times full scale",
    ),
    "nan.wav": (
        lambda path: soundfile.write(path, np.full(99, np.nan), 16_000, subtype="FLOAT"),
        "NaN, infinite",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_named_and_leave_nothing(tmp_path: Path, name: str) -> None:
    make, message = DAMAGED[name]
    make(tmp_path / name)
    before = set(tmp_path.iterdir())
    with pytest.raises(RecordingError, match=rf"{name}.*({message})"):
        copied(tmp_path / name, tmp_path / "out.wav")
    assert set(tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "in.wav", tone(44_100, 1), 44_100)
    before = set(tmp_path.iterdir())

    def full(file: soundfile.SoundFile, frames: np.ndarray) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(RecordingError, match="out.wav: cannot be written; .* space"):
        copied(tmp_path / "in.wav", tmp_path / "out.wav")
    assert set(tmp_path.iterdir()) == before


def test_an_impossible_output_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", tone(16_000, 1), 16_000)
    with pytest.raises(RecordingError, match="nowhere/out.wav: cannot be written"):
        copied(tmp_path / "in.wav", tmp_path / "nowhere" / "out.wav")
