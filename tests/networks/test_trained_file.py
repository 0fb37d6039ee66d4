"""The file of a trained network."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from pipeline.lowering.tflite import to_tflite
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.quantization import INT8
from pipeline.quantization.scheme import integer_steps
from tests.small_networks import network, with_ranks

SIZES = TinyLSTMs(bands=16, lstm_units=(8,), dense_units=8)
SHIPPED = sorted(Path("tflite_models").glob("*.tflite"))


def some_network() -> Trained:
    trained = network(SIZES, INT8, seed=7, relu_maximum=3.5)
    mask = np.random.default_rng(0).integers(0, 2, trained.arrays["dense/mask"].shape)
    trained.arrays["dense/mask"] = mask.astype(np.float32)
    # One matrix whose values are integers times a step.
    steps, step = integer_steps(trained.arrays["mask/kernel"])
    trained.arrays["mask/kernel"] = steps * np.float32(step)
    return trained


def assert_equal(a: Trained, b: Trained) -> None:
    assert (a.graph, a.scheme) == (b.graph, b.scheme)
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(b.arrays[name], array)
        assert b.arrays[name].dtype == np.float32
    np.testing.assert_array_equal(a.front_end.mean, b.front_end.mean)


def test_a_file_holds_everything(tmp_path: Path) -> None:
    saved = some_network()
    saved.save(tmp_path / "w.safetensors")
    assert_equal(Trained.load(tmp_path / "w.safetensors"), saved)
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        assert file.get_tensor("mask/kernel").dtype == np.int8
        assert file.get_tensor("dense/kernel").dtype == np.float32


@pytest.mark.parametrize("conditioned", [False, True])
def test_a_file_tells_whether_the_input_is_conditioned(tmp_path: Path, conditioned: bool) -> None:
    trained = some_network()
    conditioning = dataclasses.replace(trained.front_end, conditioned=conditioned)
    dataclasses.replace(trained, front_end=conditioning).save(tmp_path / "w.safetensors")
    assert Trained.load(tmp_path / "w.safetensors").front_end.conditioned is conditioned


def test_equal_networks_are_equal_files(tmp_path: Path) -> None:
    files = []
    for k in range(8):
        some_network().save(tmp_path / f"{k}.safetensors")
        files.append((tmp_path / f"{k}.safetensors").read_bytes())
    assert len(set(files)) == 1


@pytest.mark.parametrize("rank", [0, 6])
def test_a_file_of_the_format_before_is_read(tmp_path: Path, rank: int) -> None:
    """Sizes in the place of the graph, masks in float32."""
    trained = with_ranks(some_network(), (rank,))
    sizes = {"bands": 16, "lstm_units": [8], "dense_units": 8}
    if rank:
        sizes["lstm_ranks"] = [rank]
    header = {"format": "masknet/1", "model": sizes, "scheme": "int8", "relu_maximum": 3.5}
    front_end = {f"front_end/{n}": getattr(trained.front_end, n) for n in ("mean", "deviation")}
    path = tmp_path / "before.safetensors"
    save_file({**trained.arrays, **front_end}, path, metadata={"masknet": json.dumps(header)})
    assert_equal(Trained.load(path), trained)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_model_is_its_trained_network_lowered(path: Path) -> None:
    trained = Trained.load(path.with_suffix(".safetensors"))
    assert to_tflite(trained, path.stem) == path.read_bytes()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"w\.safetensors: not a readable safetensors file"):
        Trained.load(path)
    broken = some_network()
    broken.arrays["dense/bias"][0] = np.nan
    broken.save(path)
    with pytest.raises(ValueError, match=r"w\.safetensors: .*'dense/bias' holds NaN"):
        Trained.load(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda h: h["graph"]["nodes"][6].update(shape=[7]), r"node 'lstm1_added' .* fit"),
        (lambda h: h["graph"]["nodes"][3].update(op="exec"), r"nodes\.3\.op"),
        (lambda h: h["graph"]["nodes"][3].update(more=1), r"nodes\.3\.more"),
        (lambda h: h["graph"].update(output="nothing"), "the output 'nothing' is no node"),
        (lambda h: h["graph"].update(next_state=[]), "the states are"),
        (lambda h: h["graph"]["nodes"][4].update(inputs=["mask"]), "not before it"),
        (lambda h: h["scheme"]["grids"]["hidden"].update(scale=-1), "finite scale above 0"),
        (lambda h: h["scheme"].update(grids=3), "scheme: grids"),
        (lambda h: h.pop("scales"), "'scales' is missing"),
        (lambda h: h.update(format="network/9"), "format is 'network/9'"),
    ],
)
def test_a_header_that_makes_no_sense_is_explained(
    tmp_path: Path, change: object, problem: str
) -> None:
    path = tmp_path / "w.safetensors"
    some_network().save(path)
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["network"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header)  # type: ignore[operator]
    save_file(tensors, path, metadata={"network": json.dumps(header)})
    with pytest.raises(ValueError, match=rf"w\.safetensors: .*{problem}"):
        Trained.load(path)


def test_arrays_that_do_not_fit_the_graph_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    trained = some_network()
    other = TinyLSTMs(bands=16, lstm_units=(8,), dense_units=4).define()
    dataclasses.replace(trained, graph=other).save(path)
    with pytest.raises(ValueError, match=r"'dense/kernel' is .*float32\[8, 4\]"):
        Trained.load(path)
