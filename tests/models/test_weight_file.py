"""The weight file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import Model
from pipeline.dsp import FrontEnd
from pipeline.models import MaskNet
from pipeline.models.weights import Weights
from pipeline.quantization import INT8

SIZES = Model(bands=16, lstm_units=(8,), dense_units=8)


def some_weights() -> Weights:
    network = MaskNet(Model(bands=16, lstm_units=(8,), dense_units=8), seed=7)
    network.matrices[0].mask.assign(
        np.random.default_rng(0).integers(0, 2, network.matrices[0].shape).astype(np.float32)
    )
    front_end = FrontEnd(np.arange(16, dtype=np.float32), np.ones(16, np.float32))
    return Weights(SIZES, front_end, network.get_arrays(), INT8, 3.5)


def test_a_file_holds_everything(tmp_path: Path) -> None:
    saved = some_weights()
    saved.save(tmp_path / "w.safetensors")
    loaded = Weights.load(tmp_path / "w.safetensors")
    assert (loaded.model, loaded.scheme, loaded.relu_maximum) == (SIZES, INT8, 3.5)
    assert loaded.arrays.keys() == saved.arrays.keys()
    for name, array in saved.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
    np.testing.assert_array_equal(loaded.front_end.mean, saved.front_end.mean)


@pytest.mark.parametrize("conditioned", [False, True])
def test_a_file_tells_whether_the_input_is_conditioned(tmp_path: Path, conditioned: bool) -> None:
    weights = some_weights()
    front_end = dataclasses.replace(weights.front_end, conditioned=conditioned)
    dataclasses.replace(weights, front_end=front_end).save(tmp_path / "w.safetensors")
    assert Weights.load(tmp_path / "w.safetensors").front_end.conditioned is conditioned
    header = (tmp_path / "w.safetensors").read_bytes()[:2000]
    assert (b"conditioned" in header) is conditioned, "files from before stay as they are"


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    files = []
    for k in range(8):
        some_weights().save(tmp_path / f"{k}.safetensors")
        files.append((tmp_path / f"{k}.safetensors").read_bytes())
    assert len(set(files)) == 1


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"w\.safetensors: not a readable safetensors file"):
        Weights.load(path)
    broken = some_weights()
    broken.arrays["dense/bias"][0] = np.nan
    broken.save(path)
    with pytest.raises(ValueError, match="'dense/bias' holds NaN"):
        Weights.load(path)
