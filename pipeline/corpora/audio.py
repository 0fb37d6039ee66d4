"""Reading one audio file as 16 kHz mono, and measuring its level.

Every file is treated as hostile: whatever is wrong with it ends in one `AudioFileError` that
names the file, says what is wrong, and how to mend it.
"""

from __future__ import annotations

import os
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from io import FileIO
from pathlib import Path, PurePath

import G722
import numpy as np
import soundfile
import soxr

from pipeline.errors import InputError

RATE_HZ = 16_000
MAX_DURATION_S = 2 * 3600
MIN_DURATION_S = 0.3
FRAME_S = 0.02
ACTIVE_RANGE_DB = 40.0
SILENCE_DBFS = -70.0
FULL_SCALE = 0.999
MAX_CLIPPED_SHARE = 1e-3
MAX_FLOAT_PEAK = 16.0  # 24 dB over full scale: no gain slip, but integers written as floats
_HOT_PEAK = 1.2
_BLOCK_FRAMES = 1 << 18
_MAX_BLOCK_SAMPLES = 1 << 21
_G722 = ".g722"
_G722_BITS_PER_S = 64_000
# Bytes of real recordings carry 6.0 to 7.3 bits, compressed or encrypted data nearly 8.
_G722_MAX_ENTROPY_BITS = 7.75
# Made for calls at 8 kHz and heard at any rate: as a target they would teach their own noise.
_TELEPHONE_CODECS = re.compile(r"GSM610|NMS_ADPCM_\d+|G72[13]_\d+|VOX_ADPCM")
_CONTAINERS = (
    *(b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b".snd", b"caff", b"ID3"),
    *(b"NIST_1A", b"Creative", b"MATLAB"),
)
# What libsndfile logs where a header promises more audio than the file holds.
_PROMISED_BYTES = re.compile(
    r"^ *(?:data|SSND|BODY|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_UNKNOWN_BYTES = 0x7FFF0000  # written by programs that stream and cannot know the length
_UNKNOWN_FRAMES = 1 << 62  # of a FLAC stream
_HEADER_SLIP_BYTES = 64  # some writers count the header as audio
_UNRECOGNISED = "Format not recognised"
_NO_MP3_EITHER = 7  # code of libsndfile, with a text about pipes, for what its last guess was not
_MP3_LENGTH_SLIP = 0.01  # without a length in its header it is estimated from the bit rate
_OGG_PAGE_BYTES = 27 + 255 + 255 * 255
_OGG_END_OF_STREAM = 4


class AudioFileError(InputError):
    """A file that cannot be used. `reason` says what is wrong, `remedy` how to mend it."""

    def __init__(self, path: PurePath | str, reason: str, remedy: str) -> None:
        super().__init__(f"{printable(path)}: {reason}; {remedy}")
        self.path = str(path)
        self.reason = reason
        self.remedy = remedy


def printable(path: PurePath | str) -> str:
    """A path as one line of valid UTF-8: bytes in other encodings and controls are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def load_mono(path: Path | str, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Read any audio file libsndfile reads, or G.722, as float32 [samples] in -1..1 at `rate_hz`.

    The content says what a file is, never its suffix; only G.722, which has no header, is known by
    name. Channels are averaged. Files recorded below `rate_hz` are refused, because upsampling
    them would teach a network that the top of the band is always empty.

    Raises:
        AudioFileError: missing, unreadable, cut off, empty, over two hours, recorded below
            `rate_hz`, coded for telephones, clipped, silent but for an offset, shorter than 0.3 s,
            or with samples that are NaN, infinite or at integer scale.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise AudioFileError(path, "there is no such file", "check the path")
        if path.stat().st_size == 0:
            raise AudioFileError(path, "the file is empty (0 bytes)", "record or copy it again")
        with path.open("rb", buffering=0) as raw:
            if path.suffix.lower() == _G722 and not raw.read(8).startswith(_CONTAINERS):
                samples = _read_g722(path, raw, rate_hz)
            else:
                samples = _read(path, raw, rate_hz)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    _check_samples(path, samples, rate_hz)
    return samples


def is_audio(path: Path) -> bool:
    """Whether the content begins like a recording, or the name says G.722, which has no header."""
    try:
        with path.open("rb", buffering=0) as raw, soundfile.SoundFile(raw.fileno(), closefd=False):
            return True
    except (OSError, soundfile.SoundFileError, RuntimeError, TypeError):
        return path.suffix.lower() == _G722


def frame_powers(samples: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Mean power of whole 20 ms frames over the last axis: [..., samples] -> [..., frames]."""
    frame = round(FRAME_S * rate_hz)
    whole = samples.shape[-1] // frame * frame
    framed = samples[..., :whole].reshape(*samples.shape[:-1], -1, frame)
    powers: np.ndarray = np.einsum("...i,...i->...", framed, framed) / frame
    return powers


def active_power(samples: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Mean power over active frames of [..., samples]: within 40 dB of the 95th percentile.

    Returns float [...]; 0 where there is no sound at all or less than one frame of it.
    """
    powers = frame_powers(samples, rate_hz)
    if powers.shape[-1] == 0:
        return np.zeros(samples.shape[:-1], samples.dtype)
    threshold = np.quantile(powers, 0.95, axis=-1, keepdims=True) * 10 ** (-ACTIVE_RANGE_DB / 10)
    active = (powers >= threshold) & (powers > 0)
    total: np.ndarray = np.where(active, powers, 0).sum(axis=-1)
    return np.asarray(total / np.maximum(active.sum(axis=-1), 1))


def to_db(power: float) -> float:
    """Power to decibels, with digital silence at -200 dB instead of minus infinity."""
    return float(10 * np.log10(max(float(power), 1e-20)))


def active_level_dbfs(samples: np.ndarray, rate_hz: int = RATE_HZ) -> float:
    """Active-frame level of float [samples] in dB re full scale (a square wave at 1 is 0 dBFS)."""
    return to_db(float(active_power(samples, rate_hz)))


def trim_silence(
    samples: np.ndarray,
    rate_hz: int = RATE_HZ,
    *,
    range_db: float = ACTIVE_RANGE_DB,
    margin_s: float = 0.1,
) -> np.ndarray:
    """Drop leading and trailing frames over `range_db` below the loud ones, but for a margin."""
    powers = frame_powers(samples, rate_hz)
    if not powers.any():
        return samples
    threshold = np.quantile(powers, 0.95) * 10 ** (-range_db / 10)
    active = np.flatnonzero((powers >= threshold) & (powers > 0))
    frame = round(FRAME_S * rate_hz)
    margin = round(margin_s * rate_hz)
    start = max(int(active[0]) * frame - margin, 0)
    stop = (int(active[-1]) + 1) * frame + margin
    return samples[start:stop]


def _read_g722(path: Path, raw: FileIO, rate_hz: int) -> np.ndarray:
    raw.seek(0)
    encoded = raw.read(MAX_DURATION_S * _G722_BITS_PER_S // 8 + 1)
    if len(encoded) > MAX_DURATION_S * _G722_BITS_PER_S // 8:
        raise _too_long(path)
    _check_g722(path, encoded)
    decoded = G722.G722(RATE_HZ, _G722_BITS_PER_S).decode(encoded)
    samples = np.asarray(decoded, dtype=np.int16).astype(np.float32) / 32768
    return samples if rate_hz == RATE_HZ else soxr.resample(samples, RATE_HZ, rate_hz)


def _check_g722(path: Path, encoded: bytes) -> None:
    """Any bytes decode as G.722, so text and compressed data are told by their statistics."""
    counts = np.bincount(np.frombuffer(encoded, np.uint8), minlength=256)
    shares = counts[counts > 0] / len(encoded)
    try:
        getincrementaldecoder("utf-8")().decode(encoded)
        what = "text"
    except UnicodeDecodeError:
        if float(-(shares * np.log2(shares)).sum()) <= _G722_MAX_ENTROPY_BITS:
            return
        what = "compressed data"
    raise AudioFileError(path, f"holds {what}, not G.722", "name it after what it is, or remove it")


def _read(path: Path, raw: FileIO, rate_hz: int) -> np.ndarray:
    raw.seek(0)
    try:
        # By descriptor: a library that saw the name would trust its suffix.
        with soundfile.SoundFile(raw.fileno(), closefd=False) as file:
            _check_header(path, file, rate_hz)
            blocks = list(_resampled_blocks(path, file, rate_hz))
            _check_whole(path, file, raw)
    except soundfile.LibsndfileError as error:
        known = error.code != _NO_MP3_EITHER
        raise _unreadable(path, error.error_string if known else _UNRECOGNISED) from error
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise _unreadable(path, str(error)) from error
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _check_header(path: Path, file: soundfile.SoundFile, rate_hz: int) -> None:
    if file.frames == 0:
        raise AudioFileError(path, "the file holds no samples", "record or copy it again")
    if file.samplerate < rate_hz:
        raise AudioFileError(
            path,
            f"recorded at {file.samplerate} Hz, at least {rate_hz} Hz is needed",
            "use a recording at the full rate (upsampling does not help)",
        )
    if _TELEPHONE_CODECS.fullmatch(file.subtype):
        raise AudioFileError(
            path,
            f"encoded for telephones ({file.subtype_info})",
            "use a recording that was never coded so",
        )
    if file.frames >= _UNKNOWN_FRAMES:
        raise AudioFileError(
            path, "a stream without a length in its header", "decode it and write it again"
        )
    if file.frames > MAX_DURATION_S * file.samplerate:
        raise _too_long(path)


def _unreadable(path: Path, reason: str) -> AudioFileError:
    lines = reason.strip().rstrip(".").splitlines() or ["damaged"]
    return AudioFileError(
        path,
        f"not readable as audio ({lines[0]})",
        "expected an intact WAV, FLAC, Ogg, Opus, MP3, AIFF, SPHERE, W64, CAF, AU or .g722 file",
    )


def _too_long(path: Path) -> AudioFileError:
    return AudioFileError(
        path, f"longer than {MAX_DURATION_S // 3600} hours", "split it into shorter files"
    )


def _resampled_blocks(path: Path, file: soundfile.SoundFile, rate_hz: int) -> Iterator[np.ndarray]:
    """Mono blocks at `rate_hz`; only one block of the original is ever in memory."""
    stream = None
    if file.samplerate != rate_hz:
        stream = soxr.ResampleStream(file.samplerate, rate_hz, 1, dtype="float32")
    block_frames = max(1, min(_BLOCK_FRAMES, _MAX_BLOCK_SAMPLES // file.channels))
    frames_read, clipped_pairs, bad_samples, peak = 0, 0, 0, 0.0
    at_end = False
    while not at_end:
        block = file.read(block_frames, dtype="float32", always_2d=True)
        frames_read += len(block)
        at_end = frames_read >= file.frames or len(block) < block_frames
        magnitudes = np.abs(block)
        bad_samples += int(block.size - np.isfinite(block).sum())
        peak = max(peak, float(magnitudes.max(initial=0.0)))
        full = magnitudes >= FULL_SCALE
        clipped_pairs += int((full[1:] & full[:-1]).any(axis=1).sum())
        mono = block.mean(axis=1)
        yield stream.resample_chunk(mono, last=at_end) if stream else mono
    if bad_samples:
        raise AudioFileError(
            path, f"{bad_samples} samples are NaN or infinite", "export it again from its source"
        )
    slip = _MP3_LENGTH_SLIP * file.frames if file.format == "MP3" else 0
    if frames_read < file.frames - slip:
        raise _cut_off(path, f"{file.frames} samples", frames_read)
    if peak > MAX_FLOAT_PEAK:
        bits = next((bits for bits in (16, 24) if peak <= 1 << (bits - 1)), 32)
        raise AudioFileError(
            path,
            f"the scale is wrong: samples reach {peak:.0f}, but full scale of a float file is 1",
            f"divide them by 2^{bits - 1} ({bits}-bit integers) and write it again",
        )
    # Floats above full scale were not clipped there; they are scaled down when they are stored.
    is_hot_float = file.subtype in ("FLOAT", "DOUBLE") and peak > _HOT_PEAK
    if clipped_pairs > MAX_CLIPPED_SHARE * frames_read and not is_hot_float:
        raise AudioFileError(
            path,
            f"clipped: {100 * clipped_pairs / frames_read:.1f} % of samples stick at full scale",
            "record it again at a lower gain",
        )


def _check_whole(path: Path, file: soundfile.SoundFile, raw: FileIO) -> None:
    """Refuse what libsndfile reads without a word although its end is missing.

    Raises:
        AudioFileError: a header promises more bytes (WAV, W64, RF64, AIFF, AU, SVX, VOC) or samples
            (SPHERE) than there are, or an Ogg stream lacks its last page.
    """
    if "truncated file" in file.extra_info:
        raise AudioFileError(path, "cut off: its last block is missing", "copy it again")
    for promised, there in _PROMISED_BYTES.findall(file.extra_info):
        if _UNKNOWN_BYTES > int(promised) > int(there) + _HEADER_SLIP_BYTES:
            raise _cut_off(path, f"{promised} bytes", there)
    if file.format == "NIST":
        raw.seek(0)
        promised = re.search(rb"\nsample_count -i (\d+)", raw.read(1024))
        if promised and int(promised[1]) > file.frames:
            raise _cut_off(path, f"{int(promised[1])} samples", file.frames)
    if file.format == "OGG" and not _has_last_ogg_page(raw):
        raise AudioFileError(path, "cut off: the last Ogg page is missing", "copy it again")


def _has_last_ogg_page(raw: FileIO) -> bool:
    """Whether the file ends with a whole page that is marked as the last (RFC 3533, section 6)."""
    raw.seek(max(0, os.fstat(raw.fileno()).st_size - 2 * _OGG_PAGE_BYTES))
    tail = raw.read(2 * _OGG_PAGE_BYTES)
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & _OGG_END_OF_STREAM:
        return False
    segments = page[27 : 27 + page[26]]
    return len(page) >= 27 + page[26] + sum(segments)


def _cut_off(path: Path, promised: str, there: int | str) -> AudioFileError:
    return AudioFileError(
        path, f"cut off: the header promises {promised}, {there} are there", "copy it again"
    )


def _check_samples(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    if samples.size < MIN_DURATION_S * rate_hz:
        raise AudioFileError(
            path,
            f"too short: {samples.size / rate_hz:.2f} s",
            f"at least {MIN_DURATION_S} s is needed",
        )
    level = _sound_level_dbfs(samples, rate_hz)
    if level < SILENCE_DBFS:
        raise AudioFileError(
            path,
            f"silent: active level {level:.0f} dBFS, at least {SILENCE_DBFS:.0f} is needed",
            "remove it or record it again",
        )


def _sound_level_dbfs(samples: np.ndarray, rate_hz: int) -> float:
    """Active level without the straight line through each frame: an offset is no sound."""
    frame = round(FRAME_S * rate_hz)
    framed = samples[: samples.size // frame * frame].reshape(-1, frame)
    line = np.linspace(-1, 1, frame, dtype=samples.dtype)
    moving = framed - framed.mean(axis=1, keepdims=True)
    moving -= np.outer(moving @ (line / (line @ line)), line)
    return active_level_dbfs(moving.ravel(), rate_hz)
