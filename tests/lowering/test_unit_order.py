"""Scattered blocks move together, and the network computes the same."""

import numpy as np
import pytest

from pipeline.config import Model
from pipeline.dsp import FrontEnd
from pipeline.lowering.step_graph import build_step_graph, integer_matrix
from pipeline.lowering.unit_order import narrow_windows
from pipeline.lowering.windows import cheapest_windows
from pipeline.models import MaskNet
from pipeline.models.units import select_units, unit_layers
from pipeline.models.weights import Weights
from pipeline.quantization import INT8
from pipeline.targets import stream
from pipeline.targets.tflite import TfliteRunner

SIZES = Model(bands=32, lstm_units=(128, 96), dense_units=64)


def network(seed: int, density: float, band: int | None) -> Weights:
    """A network whose blocks are random, or lie in a band of tiles around the diagonal."""
    model = MaskNet(SIZES, INT8, seed=seed)
    random = np.random.default_rng(seed)
    arrays = model.get_arrays()
    for matrix in model.matrices:
        rows, columns = matrix.shape[0] // 8, matrix.shape[1] // 8
        kept = random.uniform(size=(rows, columns)) < density
        if band is not None:
            place = np.arange(rows)[:, None] / rows - np.arange(columns)[None, :] / columns
            kept = np.abs(place) < band / rows
        kept[0, 0] = True
        arrays[f"{matrix.name}/mask"] = np.kron(kept, np.ones((8, 8))).astype(np.float32)
    front_end = FrontEnd(np.zeros(32, np.float32), np.ones(32, np.float32))
    return Weights(SIZES, front_end, arrays, INT8, 4.0)


def cycles(weights: Weights) -> float:
    names = [name.removesuffix("/mask") for name in weights.arrays if name.endswith("/mask")]
    return sum(
        window.cycles
        for name in names
        for window in cheapest_windows(integer_matrix(weights, name).weights)
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_a_shuffled_band_is_gathered_again(seed: int) -> None:
    ordered = network(seed, 0, band=3)
    random = np.random.default_rng(seed)
    shuffled = select_units(
        ordered,
        {
            layer.name: (random.permutation(layer.units // 8)[:, None] * 8 + np.arange(8)).ravel()
            for layer in unit_layers(SIZES)
        },
    )
    found = narrow_windows(shuffled)
    assert cycles(found) < 0.85 * cycles(shuffled)
    features = np.random.default_rng(seed).uniform(-1, 1, (30, 32)).astype(np.float32)
    np.testing.assert_array_equal(
        *(stream(TfliteRunner(build_step_graph(w, "n")), features) for w in (found, shuffled))
    )


def test_a_network_without_empty_blocks_is_left_alone() -> None:
    dense = network(0, 1.0, None)
    assert narrow_windows(dense) is dense


def test_a_network_of_less_than_a_tile_a_layer_is_left_alone() -> None:
    sizes = Model(bands=16, lstm_units=(12,), dense_units=12)
    model = MaskNet(sizes, INT8, seed=0)
    arrays = model.get_arrays()
    for matrix in model.matrices:
        mask = np.zeros(matrix.shape, np.float32)
        mask[0, 0] = 1
        arrays[f"{matrix.name}/mask"] = mask
    front_end = FrontEnd(np.zeros(16, np.float32), np.ones(16, np.float32))
    weights = Weights(sizes, front_end, arrays, INT8, 4.0)
    assert narrow_windows(weights) is weights
