"""Zero blocks become smaller products, and the products are the same."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ethosu import vela
from pipeline.lowering.flatbuffer import Graph
from pipeline.lowering.tflite import to_tflite
from pipeline.lowering.windows import MAX_WINDOWS, WORTH_CUTTING, Window, cheapest_windows, whole
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.runners import stream
from pipeline.runners.tflite import TfliteRunner
from tests.small_networks import network as small


def block_diagonal(outputs: int, inputs: int, groups: int) -> np.ndarray:
    weights = np.zeros((outputs, inputs), np.int8)
    for k in range(groups):
        rows = slice(k * outputs // groups, (k + 1) * outputs // groups)
        weights[rows, k * inputs // groups : (k + 1) * inputs // groups] = 2
    return weights


@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 90)),
    density=st.floats(0, 0.3),
)
def test_windows_cover_each_output_once_and_every_weight(
    seed: int, shape: tuple[int, int], density: float
) -> None:
    random = np.random.default_rng(seed)
    weights = np.where(random.uniform(size=shape) < density, 2, 0).astype(np.int8)
    windows = cheapest_windows(weights)
    assert [w.out_begin for w in windows] == [0, *(w.out_end for w in windows[:-1])]
    assert windows[-1].out_end == shape[0]
    left = weights.copy()
    for window in windows:
        assert 0 <= window.in_begin < window.in_end <= shape[1]
        left[window.outputs, window.inputs] = 0
    assert not left.any()


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20)
def test_no_other_cut_is_cheaper(seed: int) -> None:
    random = np.random.default_rng(seed)
    tiles, inputs = 5, 160
    weights = np.zeros((8 * tiles, inputs), np.int8)
    for tile in range(tiles):
        begin = int(random.integers(0, inputs - 8))
        weights[8 * tile, begin : begin + int(random.integers(1, 96))] = 2
    found = cheapest_windows(weights)

    def cost(cuts: tuple[int, ...]) -> float:
        total = 0.0
        for a, b in itertools.pairwise((0, *cuts, tiles)):
            used = np.flatnonzero(weights[8 * a : 8 * b].any(axis=0))
            total += Window(int(used[0]), int(used[-1]) + 1, 8 * a, 8 * b).cycles
        return total

    every_cut = itertools.chain.from_iterable(
        itertools.combinations(range(1, tiles), n) for n in range(tiles)
    )
    best = min(cost(cuts) for cuts in every_cut)
    uncut = whole(weights)
    if best < WORTH_CUTTING * uncut[0].cycles:
        assert sum(window.cycles for window in found) == pytest.approx(best)
    else:
        assert found == uncut


def test_groups_are_found_and_a_full_matrix_stays_whole() -> None:
    grouped = cheapest_windows(block_diagonal(96, 128, 4))
    assert grouped == [Window(32 * k, 32 * (k + 1), 24 * k, 24 * (k + 1)) for k in range(4)]
    assert cheapest_windows(np.full((96, 128), 2, np.int8)) == [Window(0, 128, 0, 96)]


def test_there_are_never_more_windows_than_tflite_micro_joins() -> None:
    scattered = block_diagonal(24 * 16, 24 * 32, 24)
    windows = cheapest_windows(scattered)
    assert 1 < len(windows) <= MAX_WINDOWS
    left = scattered.copy()
    for window in windows:
        left[window.outputs, window.inputs] = 0
    assert not left.any()


SIZES = TinyLSTMs(bands=32, lstm_units=(32, 24), dense_units=24)


def network_with(masks: str, seed: int) -> Trained:
    trained = small(SIZES, seed=seed)
    random = np.random.default_rng(seed)
    for matrix, (rows, columns) in trained.graph.matrices().items():
        if masks == "blocks":
            kept = np.kron(random.uniform(size=(rows // 8, columns // 8)) < 0.3, np.ones((8, 8)))
        elif masks == "rows":
            kept = np.kron(random.uniform(size=(rows, columns // 8)) < 0.1, np.ones((1, 8)))
        else:
            kept = block_diagonal(columns, rows, 4).T != 0
        kept[:8, :8] = 1
        bias = random.normal(scale=0.3, size=columns)
        trained.arrays[f"{matrix}/mask"] = kept.astype(np.float32)
        trained.arrays[f"{matrix}/bias"] = bias.astype(np.float32)
    return trained


@pytest.mark.parametrize("masks", ["blocks", "rows", "groups"])
@settings(max_examples=4)
@given(seed=st.integers(0, 2**16))
def test_the_lowered_network_computes_the_same_bytes(masks: str, seed: int) -> None:
    weights = network_with(masks, seed)
    lowered = to_tflite(weights, "net")
    masked = to_tflite(weights, "net", whole)
    if masks == "groups":
        assert lowered != masked
    features = np.random.default_rng(seed).uniform(-1, 1, (40, 32)).astype(np.float32)
    np.testing.assert_array_equal(
        stream(TfliteRunner(lowered), features), stream(TfliteRunner(masked), features)
    )


def npu_cycles(folder: Path, products: int, inputs: int, outputs: int) -> int:
    """Vela's estimate for products that each read a slice of one tensor."""
    graph = Graph("products")
    x = graph.input("x", (1, products * inputs), "int8", 1 / 128)
    parts = []
    for k in range(products):
        weights = np.full((outputs, inputs), 2 * k + 2, np.int8)
        parts.append(
            graph.fully_connected(
                graph.slice(x, k * inputs, (k + 1) * inputs, name=f"x{k}"),
                graph.constant(f"w{k}", weights, 1 / 64),
                graph.constant(f"b{k}", np.zeros(outputs, np.int32), 1 / 128 / 64),
                name=f"y{k}",
                scale=1 / 32,
            )
        )
    graph.output(graph.logistic(graph.concatenation(parts, name="y"), name="z"))
    path = folder / "products.tflite"
    path.write_bytes(graph.to_bytes())
    return vela.compile(
        path, folder, "ethos-u55-128", "Ethos_U55_High_End_Embedded", "Sram_Only"
    ).npu_cycles


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(8, 8), (32, 24), (48, 48), (64, 96), (128, 32), (256, 128)]
)
def test_the_cost_of_a_product_is_velas(tmp_path: Path, inputs: int, outputs: int) -> None:
    more, fewer = (npu_cycles(tmp_path, products, inputs, outputs) for products in (6, 2))
    expected = (more - fewer) / 4
    assert Window(0, inputs, 0, outputs).cycles == pytest.approx(expected, rel=0.15)
