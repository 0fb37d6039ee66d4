"""Few distinct integers a matrix, the same in training and on the target."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compression.clustering import Clustering, codebook
from pipeline.lowering.tflite import integer_matrix
from pipeline.networks.tinylstms import TinyLSTMs
from tests.small_networks import network


@given(seed=st.integers(0, 2**16), clusters=st.integers(4, 40), spread=st.floats(0.5, 30))
def test_a_codebook_is_small_and_keeps_zero_and_the_extremes(
    seed: int, clusters: int, spread: float
) -> None:
    steps = np.clip(np.rint(np.random.default_rng(seed).normal(scale=spread, size=500)), -63, 63)
    steps = steps[steps != 0].astype(np.int64)
    book = codebook(steps, clusters)
    assert book.size <= clusters
    assert {0, steps.min(initial=0), steps.max(initial=0)} <= set(book.tolist())


def test_few_values_are_kept_as_they_are() -> None:
    np.testing.assert_array_equal(codebook(np.array([-5, 3, 3, 9]), 8), [-5, 0, 3, 9])


def test_training_and_target_hold_the_same_few_integers() -> None:
    start = network(TinyLSTMs(bands=16, lstm_units=(16,), dense_units=16), seed=1)
    model = start.build()
    clustering = Clustering(model, 9, first_step=2, end_step=6, every_steps=2)
    before = model.matrices[0].value().numpy()
    for step in range(8):
        clustering.before_step(step)
        if step == 1:
            np.testing.assert_array_equal(model.matrices[0].value().numpy(), before)
    trained = {matrix.name: matrix.value().numpy() for matrix in model.matrices}
    for matrix in model.matrices:
        matrix.settle()
    weights = dataclasses.replace(start, arrays=model.get_arrays())
    for name, value in trained.items():
        stored = integer_matrix(weights, name)
        assert np.unique(stored.weights).size <= 9
        np.testing.assert_array_equal(stored.weights.T * np.float32(stored.scale), value)
    assert not np.array_equal(trained[model.matrices[0].name], before)
