"""The hand-written gradient of the recurrence."""

import numpy as np
import pytest

from pipeline.keras import tf
from pipeline.models.lstm import LSTM
from pipeline.quantization import FLOAT, INT8

INPUTS, UNITS, STEPS = 8, 8, 5


def layer_and_input(scheme: object, scale: float, rank: int = 0) -> tuple[LSTM, "tf.Tensor"]:
    layer = LSTM("lstm", INPUTS, UNITS, scheme, seed=1, rank=rank)  # type: ignore[arg-type]
    x = np.random.default_rng(0).uniform(-1, 1, (2, STEPS, INPUTS)).astype(np.float32)
    layer.gates.kernel.assign(scale * layer.gates.kernel)
    return layer, tf.constant(x)


PARAMETERS = ["kernel", "bias"]
MATRICES = [(0, "gates"), (0, "candidate"), (6, "basis"), (6, "gates"), (6, "candidate")]


@pytest.mark.parametrize(("rank", "matrix"), MATRICES)
@pytest.mark.parametrize("parameter", PARAMETERS)
def test_it_is_the_gradient_of_the_float_network(rank: int, matrix: str, parameter: str) -> None:
    layer, x = layer_and_input(FLOAT, 1.0, rank)
    kernel = getattr(getattr(layer, matrix), parameter)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(x)))
    gradient = tape.gradient(loss, kernel).numpy()
    direction = np.random.default_rng(1).normal(size=gradient.shape).astype(np.float32)
    values = []
    for step in (1e-2, -1e-2):
        kernel.assign_add(step * direction)
        values.append(float(tf.reduce_sum(tf.square(layer(x)))))
        kernel.assign_add(-step * direction)
    slope = (values[0] - values[1]) / 2e-2
    np.testing.assert_allclose(float((gradient * direction).sum()), slope, rtol=2e-2)


def test_saturated_values_of_a_basis_have_no_gradient() -> None:
    for value, expected in ((0.5, True), (1e3, False)):
        layer, x = layer_and_input(INT8, 1.0, rank=6)
        layer.basis.bias.assign(value * tf.ones_like(layer.basis.bias))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x)))
        gradient = tape.gradient(loss, layer.basis.bias).numpy()
        assert bool(np.abs(gradient).max() > 1e-3) is expected


def test_saturated_gates_have_no_gradient() -> None:
    moving, x = layer_and_input(INT8, 1.0)
    stuck, _ = layer_and_input(INT8, 1e4)
    for layer, expected in ((moving, True), (stuck, False)):
        layer.gates.bias.assign(tf.ones_like(layer.gates.bias))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x)))
        gradient = tape.gradient(loss, layer.gates.bias).numpy()
        assert bool(np.abs(gradient).max() > 1e-3) is expected
