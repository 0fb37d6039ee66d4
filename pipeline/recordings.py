"""A recording of any rate, length and number of channels, read and written block by block.

Inside, every channel is float32 at 16 kHz; a file that comes out has the rate, the channels and
the length of the one that went in. Whatever is wrong with a file ends in one `RecordingError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipeline.dsp import RATE_HZ
from pipeline.errors import InputError

Array = NDArray[np.float32]
FULL_SCALE = 32767 / 32768
# In floating point; what is louder is no sound, and its power would overflow.
LARGEST_SAMPLE = 1e6
_BLOCK_S = 1.0


class RecordingError(InputError):
    """A recording that cannot be read or written; the text names the file and the way out."""


class RecordingReader:
    """Reads a sound file that libsndfile knows (WAV, FLAC, OGG, MP3, AIFF, ...).

    Attributes:
        path: the file.
        rate_hz, channels, frames: of the file; a frame is one sample of every channel.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            RecordingError: missing, not a sound file, or without samples.
        """
        self.path = path
        if not path.is_file():
            raise RecordingError(f"{path}: there is no such file; check the path")
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.SoundFileError, TypeError) as error:
            raise RecordingError(
                f"{path}: not readable as sound; expected WAV, FLAC, OGG, MP3 or AIFF"
            ) from error
        self.rate_hz, self.channels = self._file.samplerate, self._file.channels
        self.frames = self._file.frames
        if not self.frames:
            raise RecordingError(f"{path}: the file holds no samples; record or copy it again")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate_hz

    def blocks(self) -> Iterator[Array]:
        """Blocks of float32 [samples, channels] at 16 kHz, a second or so each.

        Raises:
            RecordingError: a damaged file, one that is cut off, or samples that are no numbers.
        """
        resampler = _Resampler(self.rate_hz, RATE_HZ, self.channels)
        read = 0
        try:
            for block in self._file.blocks(
                round(_BLOCK_S * self.rate_hz), dtype="float32", always_2d=True
            ):
                read += len(block)
                if not (np.abs(block) <= LARGEST_SAMPLE).all():
                    raise RecordingError(
                        f"{self.path}: holds samples that are NaN, infinite or above "
                        f"{LARGEST_SAMPLE:g} times full scale; export it again"
                    )
                yield resampler(block)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise RecordingError(f"{self.path}: damaged after {read} samples") from error
        if read < self.frames:
            raise RecordingError(
                f"{self.path}: cut off: the header promises {self.frames} samples, {read} are "
                "there; copy it again"
            )
        yield resampler.rest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RecordingWriter:
    """Writes a 16-bit WAV shaped like a recording; it appears under its name when complete.

    Attributes:
        clipped_samples: how many did not fit and were limited, over all channels.
    """

    def __init__(self, path: Path, like: RecordingReader) -> None:
        """Begin a file with the rate, channels and length of `like`."""
        self._path, self._like = path, like
        self._partial = path.with_name(f".{path.name}.partial")
        self._resampler = _Resampler(RATE_HZ, like.rate_hz, like.channels)
        self._written_frames = self.clipped_samples = 0

    def __enter__(self) -> Self:
        try:
            self._file = soundfile.SoundFile(
                self._partial,
                "w",
                self._like.rate_hz,
                self._like.channels,
                subtype="PCM_16",
                format="WAV",
            )
        except (soundfile.SoundFileError, OSError) as error:
            raise self._unwritable() from error
        return self

    def write(self, block: Array) -> None:
        """Append float32 [samples, channels] at 16 kHz."""
        self._append(self._resampler(block))

    def _append(self, frames: Array) -> None:
        frames = frames[: self._like.frames - self._written_frames]
        self._written_frames += len(frames)
        self.clipped_samples += int((np.abs(frames) > FULL_SCALE).sum())
        try:
            self._file.write(np.clip(frames, -1.0, FULL_SCALE))
        except soundfile.SoundFileError as error:
            raise self._unwritable() from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._append(self._resampler.rest())
                missing = self._like.frames - self._written_frames
                self._append(np.zeros((missing, self._like.channels), np.float32))
                self._file.close()
                os.replace(self._partial, self._path)
        except (OSError, soundfile.SoundFileError) as failed:
            raise self._unwritable() from failed
        finally:
            self._file.close()
            self._partial.unlink(missing_ok=True)

    def _unwritable(self) -> RecordingError:
        return RecordingError(f"{self._path}: cannot be written; check folder, rights and space")


class _Resampler:
    """[samples, channels] in blocks from one rate to another, or as they are."""

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._channels = channels
        self._stream = (
            None
            if from_hz == to_hz
            else soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32")
        )

    def __call__(self, block: Array) -> Array:
        if self._stream is None:
            return block
        resampled = self._stream.resample_chunk(np.ascontiguousarray(block))
        return np.asarray(resampled, np.float32).reshape(-1, self._channels)

    def rest(self) -> Array:
        """What is still on its way."""
        nothing = np.zeros((0, self._channels), np.float32)
        if self._stream is None:
            return nothing
        resampled = self._stream.resample_chunk(nothing, last=True)
        return np.asarray(resampled, np.float32).reshape(-1, self._channels)
