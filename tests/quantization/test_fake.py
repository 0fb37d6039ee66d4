"""Fake quantization against TensorFlow Lite's own kernels, over every possible value."""

import numpy as np
import pytest

from pipeline.keras import tf
from pipeline.lowering.flatbuffer import Graph
from pipeline.quantization import INT8, Grid
from pipeline.quantization.fake import (
    mean_on_grid,
    on_grid,
    product_on_grid,
    requantized,
    rounded_to,
    weight_scale,
)
from pipeline.quantization.scheme import WEIGHT_LIMIT, power_of_two_above
from pipeline.quantization.softmax import softmax_on_grid
from pipeline.runners.tflite import TfliteRunner

ALL = np.arange(-128, 128, dtype=np.int8)
PRODUCTS = {
    "f * c": (INT8.grids["gate"], INT8.grids["cell"], INT8.grids["cell"]),
    "i * g": (INT8.grids["gate"], INT8.grids["candidate"], INT8.grids["cell"]),
    "o * tanh(c)": (INT8.grids["gate"], INT8.grids["cell_tanh"], INT8.grids["hidden"]),
}


@pytest.mark.parametrize("grids", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_all_65536_products_round_as_in_tflite(grids: tuple[Grid, Grid, Grid]) -> None:
    a, b, out = grids
    left, right = (side.reshape(1, -1) for side in np.meshgrid(ALL, ALL))
    graph = Graph("product")
    tensors = [
        graph.input(name, left.shape, grid.dtype, grid.scale, grid.zero_point)
        for name, grid in (("a", a), ("b", b))
    ]
    graph.output(graph.mul(*tensors, name="y", scale=out.scale, zero_point=out.zero_point))
    expected = TfliteRunner(graph.to_bytes()).step({"a": left, "b": right})["y"]
    product = tf.constant(a.dequantize(left)) * b.dequantize(right)
    ours = product_on_grid(product, a, b, out)
    np.testing.assert_array_equal(out.quantize(ours.numpy()), expected)
    np.testing.assert_array_equal(out.dequantize(expected), ours.numpy())


@pytest.mark.parametrize(
    ("function", "operator", "source", "target"),
    [
        (tf.sigmoid, "logistic", INT8.grids["gate_input"], INT8.grids["gate"]),
        (tf.tanh, "tanh", INT8.grids["candidate_input"], INT8.grids["candidate"]),
        (tf.tanh, "tanh", INT8.grids["cell"], INT8.grids["cell_tanh"]),
        (tf.sigmoid, "logistic", INT8.grids["mask_input"], INT8.grids["mask"]),
    ],
)
def test_every_table_entry_is_tflites(
    function: object, operator: str, source: Grid, target: Grid
) -> None:
    graph = Graph("table")
    x = graph.input("x", (1, 256), source.dtype, source.scale, source.zero_point)
    graph.output(getattr(graph, operator)(x, name="y"))
    expected = TfliteRunner(graph.to_bytes()).step({"x": ALL[None]})["y"]
    ours = on_grid(function(tf.constant(source.dequantize(ALL[None]))), target)  # type: ignore[operator]
    np.testing.assert_array_equal(target.dequantize(expected), ours.numpy())


@pytest.mark.parametrize("source", [Grid("int8", 1 / 32), Grid("int8", 1 / 32, -128)])
@pytest.mark.parametrize("step", [1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 2])
def test_every_value_changes_its_grid_as_in_tflite(source: Grid, step: float) -> None:
    pairs = np.stack(np.meshgrid(ALL, ALL), axis=-1).reshape(1, 1, -1, 2).swapaxes(2, 3)
    for target in (Grid("int8", step), Grid("int8", step, -128)):
        how = {"scale": target.scale, "zero_point": target.zero_point}
        graph = Graph("grids")
        x = graph.input("x", pairs.shape, source.dtype, source.scale, source.zero_point)
        graph.output(graph.quantize(x, name="moved", dtype="int8", **how))  # type: ignore[arg-type]
        graph.output(graph.mean(x, (1, 2), name="mean", **how))  # type: ignore[arg-type]
        expected = TfliteRunner(graph.to_bytes()).step({"x": pairs})
        values = tf.constant(source.dequantize(pairs))
        for name, ours in (
            ("moved", requantized(values, source, target)),
            ("mean", mean_on_grid(values[0], source, target)),
        ):
            np.testing.assert_array_equal(target.dequantize(expected[name]), ours.numpy())


@pytest.mark.parametrize("exponent", [-10, -6, -4, -2, 0, 4, 6])
def test_softmax_is_tflites(exponent: int) -> None:
    source, target = Grid("int8", 2.0**exponent), INT8.grids["attention"]
    random = np.random.default_rng(exponent + 10)
    spread = random.uniform(0, 90, (1, 1, 2000, 1))
    longer = np.clip(np.rint(random.normal(0, spread, (1, 1, 2000, 48))), -128, 127)
    pairs = np.stack(np.meshgrid(ALL, ALL), axis=-1).reshape(1, 1, -1, 2)
    for rows in (pairs, longer.astype(np.int8)):
        graph = Graph("softmax")
        x = graph.input("x", rows.shape, "int8", source.scale)
        graph.output(graph.softmax(x, name="y"))
        expected = TfliteRunner(graph.to_bytes()).step({"x": rows})["y"]
        ours = softmax_on_grid(tf.constant(source.dequantize(rows)), source, target)
        np.testing.assert_array_equal(target.dequantize(expected), ours.numpy())


def test_gradients_pass_inside_the_range_only() -> None:
    x = tf.constant([-3.0, -0.4, 0.3, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(on_grid(x, Grid("int8", 1 / 128)))
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [0, 1, 1, 0])


@pytest.mark.parametrize("largest", [1.0, 63.0, 0.99, 1e-3, 3.3, 63 / 4096, 64 / 4096])
def test_weight_steps_are_the_smallest_sufficient_power_of_two(largest: float) -> None:
    weights = tf.constant([0.1 * largest, -largest, 0.0], tf.float32)
    scale = float(weight_scale(weights))
    assert np.log2(scale) == np.rint(np.log2(scale))
    assert np.float32(largest) / scale <= WEIGHT_LIMIT < np.float32(largest) / (scale / 2)
    assert scale == power_of_two_above(np.float32(largest) / np.float32(WEIGHT_LIMIT))
    integers = rounded_to(weights, tf.constant(scale)).numpy() / scale
    np.testing.assert_array_equal(integers, np.rint(integers))


def test_grids_saturate_and_round_ties_away_from_zero() -> None:
    grid = Grid("int8", 0.5, 3)
    np.testing.assert_array_equal(
        grid.quantize(np.array([0.25, -0.25, 0.24, 1e9, -1e9])), [4, 2, 3, 127, -128]
    )
    np.testing.assert_array_equal(grid.dequantize(grid.quantize(np.array([1.0, -2.5]))), [1, -2.5])
