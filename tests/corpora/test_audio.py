"""Reading files: what comes out of good ones, what is said about bad ones."""

from collections.abc import Callable
from pathlib import Path

import G722
import numpy as np
import pytest

from pipeline.corpora.audio import (
    AudioFileError,
    active_level_dbfs,
    active_power,
    load_mono,
    trim_silence,
)


def tone(rate_hz: int, seconds: float = 1.0, frequency_hz: float = 1000.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000])
def test_a_tone_survives_any_format_and_rate(
    record: Callable[..., Path], suffix: str, rate_hz: int
) -> None:
    samples = load_mono(record(f"tone.{suffix}", tone(rate_hz), rate_hz=rate_hz))
    assert samples.dtype == np.float32
    assert abs(samples.size - 16_000) <= 2
    middle = samples[4000:12_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert np.argmax(spectrum) == 500
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.02)


def test_long_files_are_resampled_seamlessly_in_blocks(record: Callable[..., Path]) -> None:
    samples = load_mono(record("long.wav", tone(48_000, 12.0), rate_hz=48_000))
    expected = tone(16_000, 12.0)
    assert samples.size == expected.size
    np.testing.assert_allclose(samples[500:-500], expected[500:-500], atol=1e-3)


def test_channels_are_averaged(record: Callable[..., Path]) -> None:
    stereo = np.stack([tone(16_000), 0 * tone(16_000)], axis=1)
    mono = load_mono(record("stereo.wav", stereo))
    np.testing.assert_allclose(mono, tone(16_000) / 2, atol=1e-4)


def test_g722_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "prompt.g722"
    pcm = np.round(tone(16_000) * 32767).astype(np.int16)
    path.write_bytes(G722.G722(16_000, 64_000).encode(pcm))
    samples = load_mono(path)
    assert samples.size == 16_000
    delay = 22  # samples, of the codec's filter bank
    error = samples[1000 + delay : 9000 + delay] - tone(16_000)[1000:9000]
    assert 10 * np.log10(np.mean(error**2) / 0.125) < -20


def nan_samples() -> np.ndarray:
    samples = tone(16_000)
    samples[7] = np.nan
    samples[9] = np.inf
    return samples


@pytest.mark.parametrize(
    ("name", "samples", "options", "message"),
    [
        (
            "low.wav",
            tone(8000),
            {"rate_hz": 8000},
            "recorded at 8000 Hz, at least 16000 Hz is needed; use a recording at the full rate "
            "(upsampling does not help)",
        ),
        (
            "silent.wav",
            np.zeros(16_000),
            {},
            "silent: active level -200 dBFS, at least -70 is needed; remove it or record it again",
        ),
        (
            "opposite.wav",
            np.stack([tone(16_000), -tone(16_000)], axis=1),
            {"subtype": "FLOAT"},
            "silent: active level -200 dBFS, at least -70 is needed; remove it or record it again",
        ),
        (
            "clipped.wav",
            np.clip(4 * tone(16_000), -1, 1),
            {},
            "clipped: 50.0 % of samples stick at full scale; record it again at a lower gain",
        ),
        (
            "nan.wav",
            nan_samples(),
            {"subtype": "FLOAT"},
            "2 samples are NaN or infinite; export it again from its source",
        ),
        ("short.wav", tone(16_000, 0.1), {}, "too short: 0.10 s; at least 0.3 s is needed"),
        ("none.wav", np.zeros(0), {}, "the file holds no samples; record or copy it again"),
    ],
)
def test_bad_samples_are_refused_in_one_line(
    record: Callable[..., Path],
    name: str,
    samples: np.ndarray,
    options: dict[str, int],
    message: str,
) -> None:
    path = record(name, samples, **options)
    with pytest.raises(AudioFileError) as caught:
        load_mono(path)
    assert str(caught.value) == f"{path}: {message}"


def test_files_that_are_no_audio_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("not audio at all\n" * 100)
    with pytest.raises(AudioFileError, match=r"text\.wav: not readable as audio \(.+\); expected"):
        load_mono(text)
    empty = tmp_path / "empty.flac"
    empty.touch()
    with pytest.raises(AudioFileError, match=r"the file is empty \(0 bytes\); record or copy it"):
        load_mono(empty)
    with pytest.raises(AudioFileError, match="there is no such file; check the path"):
        load_mono(tmp_path / "missing.wav")
    with pytest.raises(AudioFileError, match="there is no such file"):
        load_mono(tmp_path)


def test_a_cut_off_file_is_refused(record: Callable[..., Path]) -> None:
    path = record("cut.flac", seconds=3.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioFileError, match=r"cut\.flac: (cut off: the header|not readable)"):
        load_mono(path)


def test_level_counts_active_frames_only() -> None:
    speech = np.concatenate([tone(16_000), np.zeros(48_000)])
    assert active_level_dbfs(speech) == pytest.approx(10 * np.log10(0.125), abs=0.01)
    quiet = speech.copy()
    quiet[16_000:] = 0.5 * 10 ** (-45 / 20)
    assert active_level_dbfs(quiet) == pytest.approx(10 * np.log10(0.125), abs=0.01)


def test_active_power_works_on_batches_and_silence() -> None:
    batch = np.stack([tone(16_000), np.zeros(16_000)])
    np.testing.assert_allclose(active_power(batch), [0.125, 0.0], rtol=1e-3)
    assert active_power(np.zeros(5)) == 0


def test_trimming_keeps_a_margin_and_inner_pauses() -> None:
    pause = np.zeros(16_000)
    samples = np.concatenate([pause, tone(16_000), pause, tone(16_000), pause])
    trimmed = trim_silence(samples)
    assert trimmed.size == pytest.approx(3 * 16_000 + 2 * 1600, abs=640)
