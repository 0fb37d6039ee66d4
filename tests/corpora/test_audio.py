"""Reading files: what comes out of good ones, what is said about bad ones."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import G722
import numpy as np
import pytest
import soundfile

from pipeline.corpora.audio import (
    AudioFileError,
    active_level_dbfs,
    active_power,
    load_mono,
    printable,
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


def encoded(path: Path, samples: np.ndarray, kind: str, subtype: str) -> Path:
    """Write audio of a format and encoding, whatever the suffix."""
    soundfile.write(path, samples, 16_000, format=kind, subtype=subtype)
    return path


FORMATS = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")),
    *(("WAV", subtype) for subtype in ("ALAW", "IMA_ADPCM", "MS_ADPCM")),
    *(("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16")),
    *(("AU", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("NIST", "PCM_16")),
    *(("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
    *(("VOC", "PCM_16"), ("SVX", "PCM_16"), ("MAT5", "PCM_16")),
]
LENGTH_NOT_TOLD = {"MAT5"}  # by its header


@pytest.mark.parametrize(
    ("kind", "subtype", "suffix"),
    [
        (*encoding, suffix)
        for encoding in FORMATS
        for suffix in ("wav", "flac", "g722", "txt", "raw", "")
        if (encoding[0], suffix) != ("MP3", "g722")  # either may begin with these bytes: refused
    ],
)
def test_the_content_says_what_a_file_is(
    kind: str, subtype: str, suffix: str, tmp_path: Path
) -> None:
    samples = load_mono(encoded(tmp_path / f"x.{suffix}", tone(16_000), kind, subtype))
    assert abs(samples.size - 16_000) < 600  # whole blocks of the encoder
    assert active_level_dbfs(samples[2000:14_000]) == pytest.approx(-9, abs=0.5)


@pytest.mark.parametrize(
    ("kind", "subtype"), [encoding for encoding in FORMATS if encoding[0] not in LENGTH_NOT_TOLD]
)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_off_file_is_refused(kind: str, subtype: str, share: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = encoded(tmp_path / "x", 0.1 * rng.standard_normal(64_000), kind, subtype)
    load_mono(path)
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    with pytest.raises(AudioFileError, match=r"x: (cut off: the |cut off: its|not readable as)"):
        load_mono(path)


@pytest.mark.parametrize("promised", [0xFFFFFFFF, 0x7FFFF000, 128_036])
def test_a_header_that_could_not_know_the_length_or_counts_itself_is_no_cut(
    promised: int, tmp_path: Path
) -> None:
    samples = (3000 * np.random.default_rng(0).standard_normal(64_000)).astype("<i2").tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH",
        b"RIFF",
        min(promised, 0xFFFFFFD0) + 36,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        16_000,
        32_000,
        2,
        16,
    )
    (tmp_path / "x.wav").write_bytes(header + b"data" + struct.pack("<I", promised) + samples)
    assert load_mono(tmp_path / "x.wav").size == 64_000


def test_a_stream_without_a_length_is_refused(record: Callable[..., Path]) -> None:
    path = record("x.flac")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # 36 bits of the number of samples, 0 for unknown
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(AudioFileError, match="a stream without a length in its header; decode it"):
        load_mono(path)


def test_telephone_codecs_are_refused_at_any_rate(tmp_path: Path) -> None:
    path = encoded(tmp_path / "tel.wav", tone(16_000), "WAV", "GSM610")
    with pytest.raises(AudioFileError, match=r"tel\.wav: encoded for telephones \(GSM 6\.10\)"):
        load_mono(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Bonjour \xc3\xa0 tous, this is no sound at all.\n" * 200, "holds text, not G.722"),
        (np.random.default_rng(0).bytes(50_000), "holds compressed data, not G.722"),
        (bytes(50_000), "holds text, not G.722"),
    ],
)
def test_what_is_no_g722_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.G722").write_bytes(content)
    with pytest.raises(AudioFileError, match=message):
        load_mono(tmp_path / "x.G722")


def test_floats_above_full_scale_are_not_clipped(record: Callable[..., Path]) -> None:
    samples = load_mono(record("x.wav", 5 * tone(16_000), subtype="FLOAT"))
    np.testing.assert_allclose(samples, 5 * tone(16_000), atol=1e-6)
    with pytest.raises(AudioFileError, match="clipped"):
        load_mono(record("x.wav", np.clip(5 * tone(16_000), -1, 1), subtype="FLOAT"))


@pytest.mark.parametrize(("scale", "bits"), [(9000, 16), (2.0**22, 24), (2.0**30, 32)])
def test_a_float_file_at_integer_scale_is_named_as_such(
    scale: float, bits: int, record: Callable[..., Path]
) -> None:
    path = record("x.wav", scale * tone(16_000), subtype="FLOAT")
    message = (
        rf"the scale is wrong: samples reach \d+, .* divide them by 2\^{bits - 1} \({bits}-bit"
    )
    with pytest.raises(AudioFileError, match=message):
        load_mono(path)


@pytest.mark.parametrize("offset", [0.1, -0.5])
def test_an_offset_is_no_sound(offset: float, record: Callable[..., Path]) -> None:
    steps = np.full(32_000, offset)
    steps[8000:] *= 0.5
    drift = np.linspace(0, offset, 32_000)
    for samples in (np.full(32_000, offset), steps, drift):
        with pytest.raises(AudioFileError, match="silent: active level"):
            load_mono(record("x.wav", samples, subtype="FLOAT"))
    dither = np.random.default_rng(0).integers(-1, 2, 32_000) / 32768
    with pytest.raises(AudioFileError, match="silent: active level -9"):
        load_mono(record("x.wav", offset + dither))
    assert load_mono(record("x.wav", offset + 0.1 * tone(16_000))).size == 16_000


def test_names_in_any_encoding_make_one_printable_line(tmp_path: Path) -> None:
    name = os.fsdecode(b"Stra\xdfe\n\x1b[2J.wav")
    (tmp_path / name).write_text("no audio")
    with pytest.raises(AudioFileError) as caught:
        load_mono(tmp_path / name)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/Stra\\xdfe\\n\\x1b[2J.wav: not readable")
    text.encode("utf-8")
    soundfile.write(os.fsencode(tmp_path / name), tone(16_000), 16_000, format="WAV")
    assert load_mono(tmp_path / name).size == 16_000
    assert printable("Straße/東京.wav") == "Straße/東京.wav"


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


def test_an_mp3_named_g722_is_refused_not_decoded_as_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x.g722"
    encoded(path, 0.1 * rng.standard_normal(64_000), "MP3", "MPEG_LAYER_III")
    with pytest.raises(AudioFileError, match="holds compressed data, not G.722"):
        load_mono(path)
