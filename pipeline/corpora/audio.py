"""Reading one audio file as 16 kHz mono, and measuring its level.

Every file is treated as hostile: whatever is wrong with it ends in one `AudioFileError` that
names the file, says what is wrong, and how to mend it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import G722
import numpy as np
import soundfile
import soxr

RATE_HZ = 16_000
SUFFIXES = (".wav", ".flac", ".ogg", ".g722")
MAX_DURATION_S = 2 * 3600
MIN_DURATION_S = 0.3
FRAME_S = 0.02
ACTIVE_RANGE_DB = 40.0
SILENCE_DBFS = -70.0
FULL_SCALE = 0.999
MAX_CLIPPED_SHARE = 1e-3
_BLOCK_FRAMES = 1 << 18
_G722_BITS_PER_S = 64_000


class AudioFileError(ValueError):
    """A file that cannot be used. `reason` says what is wrong, `remedy` how to mend it."""

    def __init__(self, path: Path | str, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}; {remedy}")
        self.path = str(path)
        self.reason = reason
        self.remedy = remedy


def load_mono(path: Path | str, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Read a WAV, FLAC, OGG or G.722 file as float32 [samples] in -1..1 at `rate_hz`.

    Channels are averaged. Files recorded below `rate_hz` are refused, because upsampling them
    would teach a network that the top of the band is always empty.

    Raises:
        AudioFileError: missing, unreadable, truncated, empty, over two hours, recorded below
            `rate_hz`, clipped, silent, shorter than 0.3 s, or with samples that are NaN or
            infinite.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioFileError(path, "there is no such file", "check the path")
    if path.stat().st_size == 0:
        raise AudioFileError(path, "the file is empty (0 bytes)", "record or copy it again")
    samples = _read_g722(path, rate_hz) if path.suffix.lower() == ".g722" else _read(path, rate_hz)
    _check_samples(path, samples, rate_hz)
    return samples


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


def _read_g722(path: Path, rate_hz: int) -> np.ndarray:
    if path.stat().st_size > MAX_DURATION_S * _G722_BITS_PER_S // 8:
        raise _too_long(path)
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    decoded = G722.G722(RATE_HZ, _G722_BITS_PER_S).decode(encoded)
    samples = np.asarray(decoded, dtype=np.int16).astype(np.float32) / 32768
    return samples if rate_hz == RATE_HZ else soxr.resample(samples, RATE_HZ, rate_hz)


def _read(path: Path, rate_hz: int) -> np.ndarray:
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file, rate_hz)
            blocks = list(_resampled_blocks(path, file, rate_hz))
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise _unreadable(path, error) from error
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
    if file.frames > MAX_DURATION_S * file.samplerate:
        raise _too_long(path)


def _unreadable(path: Path, error: Exception) -> AudioFileError:
    return AudioFileError(
        path,
        f"not readable as audio ({str(error).rstrip('.').splitlines()[0]})",
        "expected an intact WAV, FLAC, OGG or .g722 file",
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
    frames_read, clipped_pairs = 0, 0
    for block in file.blocks(_BLOCK_FRAMES, dtype="float32", always_2d=True):
        frames_read += len(block)
        full = np.abs(block) >= FULL_SCALE
        clipped_pairs += int((full[1:] & full[:-1]).any(axis=1).sum())
        mono = block.mean(axis=1)
        yield stream.resample_chunk(mono, last=frames_read >= file.frames) if stream else mono
    if frames_read < file.frames:
        raise AudioFileError(
            path,
            f"cut off: the header promises {file.frames} samples, {frames_read} are there",
            "copy it again",
        )
    if clipped_pairs > MAX_CLIPPED_SHARE * frames_read:
        raise AudioFileError(
            path,
            f"clipped: {100 * clipped_pairs / frames_read:.1f} % of samples stick at full scale",
            "record it again at a lower gain",
        )


def _check_samples(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    bad = int(samples.size - np.isfinite(samples).sum())
    if bad:
        raise AudioFileError(
            path, f"{bad} samples are NaN or infinite", "export it again from its source"
        )
    if samples.size < MIN_DURATION_S * rate_hz:
        raise AudioFileError(
            path,
            f"too short: {samples.size / rate_hz:.2f} s",
            f"at least {MIN_DURATION_S} s is needed",
        )
    level = active_level_dbfs(samples, rate_hz)
    if level < SILENCE_DBFS:
        raise AudioFileError(
            path,
            f"silent: active level {level:.0f} dBFS, at least {SILENCE_DBFS:.0f} is needed",
            "remove it or record it again",
        )
