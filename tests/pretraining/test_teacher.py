"""The teacher is the peer it is named after, and pretraining imitates what it is given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline.corpora.store import Store, StoreWriter
from pipeline.corpora.testset import Mixture
from pipeline.errors import InputError
from pipeline.metrics.peer_models import Dtln
from pipeline.pretraining.crops import Bank, CropMaker
from pipeline.pretraining.loop import Material, Settings, pretrain
from pipeline.pretraining.teacher import DtlnTeacher, read_arrays
from tests.networks.kinds import KINDS, network

Arrays = dict[str, np.ndarray]
UNITS = 128
CROP_SAMPLES = 4096


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) * 0.3).astype(np.float32)

    made = {
        "encoder": drawn(512, 256) / 8,
        "decoder": drawn(256, 512) / 8,
        "norm/gain": drawn(256),
        "norm/offset": drawn(256),
    }
    for part, inputs, outputs in (("magnitude", 257, 257), ("waveform", 256, 256)):
        for layer, values in ((1, inputs), (2, UNITS)):
            made[f"{part}/lstm_{layer}/kernel"] = drawn(values, 4 * UNITS) / 4
            made[f"{part}/lstm_{layer}/recurrent"] = drawn(UNITS, 4 * UNITS) / 4
            made[f"{part}/lstm_{layer}/bias"] = drawn(4 * UNITS)
        made[f"{part}/mask/kernel"] = drawn(UNITS, outputs)
        made[f"{part}/mask/bias"] = drawn(outputs)
    return made


class Session:
    """A published graph in NumPy: one frame and the state before it, as onnxruntime is called."""

    def __init__(self, arrays: Arrays, part: str) -> None:
        self._arrays, self._part = arrays, part

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="x"), SimpleNamespace(name="state")]

    def run(self, _: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        frame, state = feeds["x"].reshape(-1), feeds["state"]
        if self._part == "magnitude":
            mask, after = self._mask(frame, state)
            return [mask.reshape(1, 1, -1), after]
        encoded = frame @ self._arrays["encoder"]
        normal = (encoded - encoded.mean()) / np.sqrt(encoded.var() + 1e-7)
        normal = normal * self._arrays["norm/gain"] + self._arrays["norm/offset"]
        mask, after = self._mask(normal, state)
        return [((encoded * mask) @ self._arrays["decoder"]).reshape(1, 1, -1), after]

    def _mask(self, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = np.zeros_like(state)
        for layer in (1, 2):
            kernel, recurrent, bias = (
                self._arrays[f"{self._part}/lstm_{layer}/{name}"]
                for name in ("kernel", "recurrent", "bias")
            )
            hidden, cell = state[0, layer - 1, :, 0], state[0, layer - 1, :, 1]
            i, f, g, o = np.split(x @ kernel + hidden @ recurrent + bias, 4)
            cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
            x = sigmoid(o) * np.tanh(cell)
            after[0, layer - 1] = np.stack([x, cell], axis=-1)
        dense = {name: self._arrays[f"{self._part}/mask/{name}"] for name in ("kernel", "bias")}
        return sigmoid(x @ dense["kernel"] + dense["bias"]), after


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


@pytest.mark.parametrize("samples", [4096, 3001])
def test_whole_signals_are_what_the_peer_makes_of_them_hop_by_hop(
    arrays: Arrays, samples: int
) -> None:
    noisy = np.random.default_rng(1).normal(size=(2, samples)).astype(np.float32)
    peer = Dtln(Session(arrays, "magnitude"), Session(arrays, "waveform"))
    expected = np.stack([peer.enhance(signal) for signal in noisy])
    found = DtlnTeacher(arrays)(jnp.asarray(noisy))
    assert np.std(expected) > 0.01
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def write_onnx(path: Path, tensors: Arrays) -> None:
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph([], "network", [], [], initializers)
    onnx.save(helper.make_model(graph), str(path))


def published(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """The two files as they are published: gates in the order of ONNX in the first."""

    def reordered(array: np.ndarray) -> np.ndarray:
        i, f, g, o = np.split(array, 4, axis=-1)
        return np.concatenate([i, o, f, g], axis=-1)

    one = {f"dense_2/{n}:0": arrays[f"magnitude/mask/{n}"] for n in ("kernel", "bias")}
    two = {
        "conv1d_2/kernel:0": arrays["encoder"].T[:, :, None],
        "conv1d_3/kernel:0": arrays["decoder"].T[:, :, None],
        "model_2/dense_3/Tensordot/Reshape_1:0": arrays["waveform/mask/kernel"],
        "model_2/dense_3/BiasAdd/ReadVariableOp/resource:0": arrays["waveform/mask/bias"],
    }
    norm = "model_2/instant_layer_normalization_1/{}/ReadVariableOp/resource:0"
    two |= {norm.format("mul"): arrays["norm/gain"], norm.format("add_1"): arrays["norm/offset"]}
    for layer in (1, 2):
        mine = {n: arrays[f"magnitude/lstm_{layer}/{n}"] for n in ("kernel", "recurrent", "bias")}
        name = f"lstm_{layer + 3}"
        one[f"{name}_W"] = reordered(mine["kernel"]).T[None]
        one[f"{name}_R"] = reordered(mine["recurrent"]).T[None]
        half = reordered(mine["bias"]) / 2
        one[f"{name}_B"] = np.concatenate([half, half])[None]
        name = f"model_2/lstm_{layer + 5}/{{}}/ReadVariableOp/resource:0"
        waveform = f"waveform/lstm_{layer}"
        two[name.format("MatMul")] = arrays[f"{waveform}/kernel"]
        two[name.format("MatMul_1")] = arrays[f"{waveform}/recurrent"]
        two[name.format("BiasAdd")] = arrays[f"{waveform}/bias"]
    return one, two


def test_arrays_are_read_from_the_published_files(tmp_path: Path, arrays: Arrays) -> None:
    paths = [tmp_path / "model_1.onnx", tmp_path / "model_2.onnx"]
    for path, tensors in zip(paths, published(arrays), strict=True):
        write_onnx(path, tensors)
    found = read_arrays(*paths)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)


def test_another_file_is_refused_by_name(tmp_path: Path, arrays: Arrays) -> None:
    paths = [tmp_path / "model_1.onnx", tmp_path / "model_2.onnx"]
    one, two = published(arrays)
    del two["conv1d_2/kernel:0"]
    write_onnx(paths[0], one)
    write_onnx(paths[1], two)
    with pytest.raises(InputError, match=r"conv1d_2/kernel:0"):
        read_arrays(*paths)


def bank(folder: Path, role: str) -> Bank:
    writer = StoreWriter(folder / role)
    sound = np.random.default_rng(len(role)).normal(size=20_000).astype(np.float32) * 0.1
    writer.append(
        sound, name=role, source="test", speaker=role, licence="CC0", kind="music", weight=1.0
    )
    writer.close()
    of = Bank.of_voices if role == "speech" else Bank.of_noise
    return of(Store(folder / role), seed=1)


@pytest.mark.parametrize(("share", "imitates"), [(1.0, True), (0.0, False)])
def test_a_teachers_output_is_the_target_for_its_share_of_the_time(
    tmp_path: Path, share: float, imitates: bool
) -> None:
    """No mask comes nearer to silence than to zero decibels; clean speech at 30 dB is nearer."""
    start = network(KINDS["gru"](), seed=3)
    rooms = np.zeros((1, 100), np.float32)
    rooms[:, 0] = 1
    material = Material(bank(tmp_path, "speech"), bank(tmp_path, "noise"), jnp.asarray(rooms))
    rng = np.random.default_rng(2)
    clean = rng.normal(size=CROP_SAMPLES).astype(np.float32) * 0.1
    mixture = Mixture("one", clean + 0.01, clean, 20.0, "music")
    settings = Settings(
        minutes=1e-5, batch_size=4, spectral_weight=0.0, imitation_share=share, learning_rate=1e-6
    )
    maker = CropMaker(CROP_SAMPLES, snr_db=(30.0, 31.0))
    (_, record), *_ = pretrain(start, material, maker, settings, [mixture], jnp.zeros_like)
    assert (record["loss"] > 0) is imitates
