"""The hand-written gradient of the recurrence."""

import numpy as np
import pytest

from pipeline.keras import tf
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.quantization import FLOAT, INT8, Scheme
from pipeline.training.matrix import Matrix
from pipeline.training.stash import Stash
from tests.small_networks import network, with_ranks

INPUTS, UNITS, STEPS = 8, 8, 5
SIZES = TinyLSTMs(bands=INPUTS, lstm_units=(UNITS,), dense_units=8)
X = np.random.default_rng(0).uniform(-1, 1, (2, STEPS, INPUTS)).astype(np.float32)


class Layer:
    """The recurrence of a small network, by its hidden states."""

    def __init__(self, scheme: Scheme, scale: float, rank: int = 0) -> None:
        self._model = with_ranks(network(SIZES, scheme, seed=1), (rank,)).build()
        self["gates"].kernel.assign(scale * self["gates"].kernel)

    def __getitem__(self, part: str) -> Matrix:
        return next(m for m in self._model.matrices if m.name == f"lstm1_{part}")

    @property
    def matrices(self) -> list[Matrix]:
        return self._model.matrices

    def keep(self, stash: Stash) -> None:
        self._model.stash = stash

    def loss(self) -> "tf.Tensor":
        return tf.reduce_sum(tf.square(self._model.observe(X, ["h1_next"])["h1_next"]))

    def gradient(self, variable: "tf.Variable") -> np.ndarray:
        with tf.GradientTape() as tape:
            loss = self.loss()
        return np.asarray(tape.gradient(loss, variable))


PARAMETERS = ["kernel", "bias"]
MATRICES = [(0, "gates"), (0, "candidate"), (6, "basis"), (6, "gates"), (6, "candidate")]


@pytest.mark.parametrize(("rank", "matrix"), MATRICES)
@pytest.mark.parametrize("parameter", PARAMETERS)
def test_it_is_the_gradient_of_the_float_network(rank: int, matrix: str, parameter: str) -> None:
    layer = Layer(FLOAT, 1.0, rank)
    kernel = getattr(layer[matrix], parameter)
    gradient = layer.gradient(kernel)
    direction = np.random.default_rng(1).normal(size=gradient.shape).astype(np.float32)
    values = []
    for step in (1e-2, -1e-2):
        kernel.assign_add(step * direction)
        values.append(float(layer.loss()))
        kernel.assign_add(-step * direction)
    slope = (values[0] - values[1]) / 2e-2
    np.testing.assert_allclose(float((gradient * direction).sum()), slope, rtol=2e-2)


def test_saturated_values_of_a_basis_have_no_gradient() -> None:
    for value, expected in ((0.5, True), (1e3, False)):
        layer = Layer(INT8, 1.0, rank=6)
        bias = layer["basis"].bias
        bias.assign(value * tf.ones_like(bias))
        gradient = layer.gradient(bias)
        assert bool(np.abs(gradient).max() > 1e-3) is expected


def test_saturated_gates_have_no_gradient() -> None:
    for scale, expected in ((1.0, True), (1e4, False)):
        layer = Layer(INT8, scale)
        bias = layer["gates"].bias
        bias.assign(tf.ones_like(bias))
        gradient = layer.gradient(bias)
        assert bool(np.abs(gradient).max() > 1e-3) is expected


@pytest.mark.parametrize("rank", [0, 6])
def test_gradients_are_the_same_when_all_is_kept_as_integers(rank: int) -> None:
    layer = Layer(INT8, 1.0, rank)
    kernels = [matrix.kernel for matrix in layer.matrices if matrix.name.startswith("lstm1")]
    exact = [layer.gradient(kernel) for kernel in kernels]
    layer.keep(Stash())
    for kernel, expected in zip(kernels, exact, strict=True):
        np.testing.assert_array_equal(layer.gradient(kernel), expected)
    # Half of what the products read makes other gradients.
    layer.keep(Stash(0.5))
    assert np.abs(layer.gradient(kernels[0]) - exact[0]).max() > 1e-3
