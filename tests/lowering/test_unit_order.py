"""Scattered blocks move together, and the network computes the same."""

import numpy as np
import pytest

from pipeline.lowering.tflite import integer_matrix, to_tflite
from pipeline.lowering.unit_order import narrow_windows
from pipeline.lowering.windows import cheapest_windows
from pipeline.networks.groups import groups, keep_units
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.runners import stream
from pipeline.runners.tflite import TfliteRunner
from tests.small_networks import network as small

SIZES = TinyLSTMs(bands=32, lstm_units=(128, 96), dense_units=64)


def network(seed: int, density: float, band: int | None) -> Trained:
    """A network whose blocks are random, or lie in a band of tiles around the diagonal."""
    trained = small(SIZES, seed=seed)
    random = np.random.default_rng(seed)
    for matrix, shape in trained.graph.matrices().items():
        rows, columns = shape[0] // 8, shape[1] // 8
        kept = random.uniform(size=(rows, columns)) < density
        if band is not None:
            place = np.arange(rows)[:, None] / rows - np.arange(columns)[None, :] / columns
            kept = np.abs(place) < band / rows
        kept[0, 0] = True
        trained.arrays[f"{matrix}/mask"] = np.kron(kept, np.ones((8, 8))).astype(np.float32)
    return trained


def cycles(weights: Trained) -> float:
    return sum(
        window.cycles
        for name in weights.graph.matrices()
        for window in cheapest_windows(integer_matrix(weights, name).weights)
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_a_shuffled_band_is_gathered_again(seed: int) -> None:
    ordered = network(seed, 0, band=3)
    random = np.random.default_rng(seed)
    shuffled = keep_units(
        ordered,
        {
            group.name: (random.permutation(group.units // 8)[:, None] * 8 + np.arange(8)).ravel()
            for group in groups(ordered.graph)
        },
    )
    found = narrow_windows(shuffled)
    assert cycles(found) < 0.85 * cycles(shuffled)
    features = np.random.default_rng(seed).uniform(-1, 1, (30, 32)).astype(np.float32)
    np.testing.assert_array_equal(
        *(stream(TfliteRunner(to_tflite(w, "n")), features) for w in (found, shuffled))
    )


def test_a_network_without_empty_blocks_is_left_alone() -> None:
    dense = network(0, 1.0, None)
    assert narrow_windows(dense) is dense


def test_a_network_of_less_than_a_tile_a_layer_is_left_alone() -> None:
    weights = small(TinyLSTMs(bands=16, lstm_units=(12,), dense_units=12))
    for matrix, shape in weights.graph.matrices().items():
        mask = np.zeros(shape, np.float32)
        mask[0, 0] = 1
        weights.arrays[f"{matrix}/mask"] = mask
    assert narrow_windows(weights) is weights
