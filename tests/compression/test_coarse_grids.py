"""Coarser grids, one for all or shared out."""

import numpy as np
import pytest

from pipeline.compression.bit_sharing import ALL_BITS, GROUP, BitSharing
from pipeline.compression.coarse_grids import Coarsening, best_step, on_steps
from pipeline.compression.schedule import RisingSparsity
from pipeline.keras import tf
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.training.model import SequenceModel
from tests.small_networks import network

END = 40


def small_model() -> SequenceModel:
    return network(TinyLSTMs(bands=16, lstm_units=(16, 16), dense_units=16), seed=3).build()


def test_weights_go_to_the_nearest_multiple_and_gradients_through() -> None:
    weights = tf.constant([[0.9, -2.6, 0.24, 0.9]])
    step, limit = tf.constant([[0.5, 0.5, 0.5, 0.0]]), tf.constant([[3.0, 3.0, 3.0, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = on_steps(weights, step, limit)
    np.testing.assert_array_equal(value, [[1.0, -1.5, 0.0, 0.0]])
    np.testing.assert_array_equal(tape.gradient(value, weights), np.ones((1, 4)))


def test_a_long_tail_does_not_set_the_range() -> None:
    weights = np.random.default_rng(0).normal(scale=0.1, size=5000).astype(np.float32)
    weights[0] = 2.0
    assert best_step(weights, 7) < best_step(np.array([2.0], np.float32), 7) / 4
    assert best_step(np.zeros(3, np.float32), 7) > 0


@pytest.mark.parametrize("bits", [2, 4])
def test_a_matrix_has_as_many_levels_as_its_bits_allow(bits: int) -> None:
    model = small_model()
    coarsening = Coarsening(model, bits, end_step=4, every_steps=2)
    kernel = model.matrices[0].kernel
    before = np.abs(model.matrices[0].value().numpy()).max()
    for step in range(5):
        kernel.assign(kernel * 2)
        coarsening.before_step(step)
    for matrix in model.matrices:
        assert 2 < np.unique(matrix.value().numpy()).size <= 2**bits - 1
    assert np.abs(model.matrices[0].value().numpy()).max() > 8 * before
    resting = model.matrices[0].value().numpy()
    kernel.assign(kernel * 4)
    coarsening.before_step(6)
    assert np.abs(model.matrices[0].value().numpy()).max() == np.abs(resting).max()


def shared(bits: float, costly: str) -> tuple[SequenceModel, dict[str, float]]:
    """Stand in for training: moving weights of ``costly`` hurts, of the others it does not."""
    model = small_model()
    sharing = BitSharing(model, RisingSparsity(1 - bits / ALL_BITS, END, every_steps=2))
    for step in range(END + 10):
        sharing.before_step(step)
        told = {}
        for matrix in model.matrices:
            kernel = matrix.kernel.numpy()
            worth = 1.0 if matrix.name == costly else 0.0
            told[matrix.name] = (-worth * np.abs(kernel)).astype(np.float32)
        sharing.after_step(step, told)
    return model, {matrix.name: entropy(matrix.value().numpy()) for matrix in model.matrices}


def entropy(values: np.ndarray) -> float:
    _, counts = np.unique(values, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


@pytest.mark.parametrize("bits", [1.5, 2.5, 4.0])
def test_the_bits_are_met_by_groups_that_share_grids(bits: float) -> None:
    model, used = shared(bits, costly="none")
    sizes = {matrix.name: float(np.prod(matrix.shape)) for matrix in model.matrices}
    average = sum(used[name] * size for name, size in sizes.items()) / sum(sizes.values())
    assert bits - 0.7 < average <= bits
    largest = max(model.matrices, key=lambda matrix: matrix.shape[1])
    groups = np.split(largest.value().numpy(), largest.shape[1] // GROUP, axis=1)
    assert all(group.any() for group in groups) or bits < 2


def test_bits_move_to_where_they_are_worth_most() -> None:
    _, plain = shared(2.5, costly="none")
    for name in ("lstm1_gates", "dense"):
        _, moved = shared(2.5, costly=name)
        assert moved[name] > plain[name] + 0.3
