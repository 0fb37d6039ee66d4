"""Short-time Fourier transform with perfect reconstruction.

A periodic square-root Hann window is used for analysis and for synthesis; at 50 % overlap their
product sums to one, so an all-ones mask returns the input exactly (Griffin & Lim, 1984).

Timing: frame ``k`` spans samples ``[(k - 1) * hop, (k + 1) * hop)``. The first frame sees one hop
of zeros as history, exactly as a device does after power-up, and the audio of hop ``k - 1`` is
complete once frame ``k`` has been added. The algorithmic latency is one frame (32 ms).
"""

import functools

import numpy as np
import scipy.fft
from numpy.typing import NDArray

RATE_HZ = 16_000
FRAME_SAMPLES = 512
HOP_SAMPLES = 256
BINS = FRAME_SAMPLES // 2 + 1
ALGORITHMIC_LATENCY_SAMPLES = FRAME_SAMPLES


@functools.cache
def window() -> NDArray[np.float32]:
    """Return the periodic square-root Hann window, float32 ``[512]``."""
    n = np.arange(FRAME_SAMPLES)
    values = np.sin(np.pi * n / FRAME_SAMPLES).astype(np.float32)
    values.setflags(write=False)
    return values


def frames_in(samples: int) -> int:
    """Number of frames needed to reconstruct a signal of ``samples`` samples."""
    return -(-samples // HOP_SAMPLES) + 1


def stft(signal: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Transform ``[..., samples]`` float32 into ``[..., frames, 257]`` complex64."""
    hops = whole_hops(signal)
    history = np.zeros((*hops.shape[:-1], HOP_SAMPLES), np.float32)
    return transform(np.concatenate([history, hops], axis=-1))


def whole_hops(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """The newest hops of all frames: ``[..., samples]`` with zeros behind, float32."""
    samples = signal.shape[-1]
    hops = np.zeros((*signal.shape[:-1], frames_in(samples) * HOP_SAMPLES), np.float32)
    hops[..., :samples] = signal
    return hops


def transform(hops: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Spectra ``[..., frames, 257]`` of ``frames + 1`` whole hops, two hops a frame."""
    view = np.lib.stride_tricks.sliding_window_view(hops, FRAME_SAMPLES, axis=-1)
    spectrum = scipy.fft.rfft(view[..., ::HOP_SAMPLES, :] * window(), axis=-1)
    return np.asarray(spectrum, np.complex64)


def istft(spectrum: NDArray[np.complex64], samples: int) -> NDArray[np.float32]:
    """Overlap-add ``[..., frames, 257]`` complex64 back into ``[..., samples]`` float32."""
    frames = spectrum.shape[-2]
    if frames != frames_in(samples):
        raise ValueError(
            f"{samples} samples need {frames_in(samples)} frames, the spectrum has {frames}"
        )
    halves = half_frames(spectrum)
    hops = halves[..., 1:, 0, :] + halves[..., :-1, 1, :]
    return hops.reshape(*hops.shape[:-2], -1)[..., :samples]


def half_frames(spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Windowed signals of ``[..., frames, 257]`` spectra, cut in halves: ``[..., frames, 2, 256]``.

    The audio of a hop is the first half of one frame plus the second half of the frame before.
    """
    pieces = scipy.fft.irfft(spectrum, FRAME_SAMPLES, axis=-1).astype(np.float32) * window()
    return pieces.reshape(*pieces.shape[:-1], 2, HOP_SAMPLES)
