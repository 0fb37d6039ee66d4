"""Pulls that sharpen the difference between groups."""

import numpy as np
import pytest

from pipeline.compression.regularizers import REGULARIZERS, Regularizer
from pipeline.compression.structures import BlockStructure
from pipeline.networks.tinylstms import TinyLSTMs
from tests.small_networks import network


def value(name: str, energies: np.ndarray) -> float:
    norms = np.sqrt(energies)
    return float(norms.sum() if name == "group_lasso" else norms.sum() ** 2 / energies.sum())


@pytest.mark.parametrize("name", REGULARIZERS)
def test_factors_are_the_gradient(name: str) -> None:
    random = np.random.default_rng(0)
    weights = random.normal(size=(5, 3))
    factors = REGULARIZERS[name](np.square(weights).sum(axis=1))
    step = 1e-6 * random.normal(size=weights.shape)
    change = value(name, np.square(weights + step).sum(1)) - value(
        name, np.square(weights - step).sum(1)
    )
    assert change == pytest.approx(2 * float((factors[:, None] * weights * step).sum()), rel=1e-3)


def test_a_family_of_zeros_is_left_alone() -> None:
    assert (REGULARIZERS["hoyer_square"](np.zeros(4)) == 0).all()


@pytest.mark.parametrize("name", REGULARIZERS)
def test_weak_blocks_fade_and_strong_ones_stand(name: str) -> None:
    model = network(TinyLSTMs(bands=16, lstm_units=(16,), dense_units=16), seed=1).build()
    dense = model.matrices[-2]
    kernel = np.full(dense.shape, 1.0, np.float32)
    kernel[:4, :4] = 0.05
    dense.kernel.assign(kernel)
    structure = BlockStructure({m.name: m.shape for m in model.matrices}, 4, 4)
    regularizer = Regularizer(model, structure, name, strength=0.005, end_step=20)
    for step in range(30):
        regularizer.before_step(step)
        if step == 19:
            rested = dense.kernel.numpy()
    after = dense.kernel.numpy()
    assert np.abs(after[:4, :4]).max() < 0.025
    assert after[4:, 4:].min() > 0.85
    np.testing.assert_array_equal(after, rested)
    assert (after >= 0).all()
