"""Blocks of one magnitude."""

import numpy as np
import pytest

from pipeline.compression.unification import Unification
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.training.matrix import Matrix
from pipeline.training.model import SequenceModel
from tests.small_networks import network

END = 70
BLOCK = 4


def small_model(dense_units: int = 18) -> SequenceModel:
    sizes = TinyLSTMs(bands=16, lstm_units=(16,), dense_units=dense_units)
    return network(sizes, seed=3).build()


def unified(model: SequenceModel, share: float, zeros: float, powers: bool) -> Unification:
    return Unification(model, share, zeros, BLOCK, powers_of_two=powers, end_step=END)


def whole_blocks(matrix: Matrix) -> np.ndarray:
    """``[blocks, weights]``, without those at the end of a row that are narrower."""
    values = matrix.value().numpy()
    return values[:, : values.shape[1] // BLOCK * BLOCK].reshape(-1, BLOCK)


@pytest.mark.parametrize(("share", "zeros"), [(0.5, 0.25), (1.0, 0.0), (0.0, 0.5)])
def test_blocks_are_unified_and_removed_as_asked(share: float, zeros: float) -> None:
    model = small_model(dense_units=16)
    callback = unified(model, share, zeros, powers=True)
    for step in range(END + 1):
        callback.before_step(step)
    for matrix in model.matrices:
        blocks = np.abs(whole_blocks(matrix))
        empty = ~blocks.any(axis=1)
        same = (blocks == blocks[:, :1]).all(axis=1) & ~empty
        assert empty.mean() == pytest.approx(zeros, abs=0.1)
        assert same.mean() == pytest.approx(share, abs=0.1)
        # A free block may happen to look like a unified one.
        exponents = np.log2(np.unique(blocks[same & (share == 1.0)]))
        np.testing.assert_array_equal(exponents, np.rint(exponents))


def test_signs_stay_and_a_magnitude_moves_with_all_its_weights() -> None:
    model = small_model()
    callback = unified(model, 1.0, 0.0, powers=False)
    matrix = model.matrices[0]
    for step in range(END + 1):
        callback.before_step(step)
    held = whole_blocks(matrix)
    pushed = matrix.kernel.numpy()
    pushed[0, 0] *= 5
    pushed[0, 1] *= -0.5
    matrix.kernel.assign(pushed)
    callback.before_step(END + 1)
    moved = whole_blocks(matrix)
    np.testing.assert_array_equal(np.sign(moved), np.sign(held))
    assert abs(moved[0, 0]) > abs(held[0, 0])
    assert (np.abs(moved) == np.abs(moved[:, :1])).all()
    np.testing.assert_array_equal(moved[1:], held[1:])


def test_weights_are_pulled_near_before_they_are_put_there() -> None:
    model = small_model()
    callback = unified(model, 1.0, 0.0, powers=False)
    kernel = model.matrices[0].kernel

    def distance() -> float:
        rows = np.abs(kernel.numpy()).reshape(-1, BLOCK)
        return float(np.square(rows - rows.mean(axis=1, keepdims=True)).sum())

    distances = []
    for step in range(END):
        callback.before_step(step)
        distances.append(distance())
    assert distances[5] > 0.9 * distances[0]
    assert distances[-1] < 0.4 * distances[0]


def test_what_is_masked_stays_zero_and_is_no_part_of_the_magnitude() -> None:
    model = small_model()
    matrix = model.matrices[0]
    mask = np.ones(matrix.shape, np.float32)
    mask[:, ::BLOCK] = 0
    matrix.mask.assign(mask)
    kernel = np.full(matrix.shape, 0.25, np.float32)
    kernel[:, ::BLOCK] = 9
    matrix.kernel.assign(kernel)
    callback = unified(model, 1.0, 0.0, powers=True)
    for step in range(END + 1):
        callback.before_step(step)
    np.testing.assert_array_equal(matrix.value().numpy(), 0.25 * mask)
