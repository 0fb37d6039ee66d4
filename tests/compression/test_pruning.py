"""Which weights go, and when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compression.criterion import magnitude, masks_for
from pipeline.compression.pruner import GradualPruner, sparsity_of
from pipeline.models import MaskNet
from pipeline.quantization import INT8


@given(sparsity=st.floats(0, 0.97), seed=st.integers(0, 2**16))
def test_exactly_the_requested_share_is_removed(sparsity: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = {n: random.normal(scale=s, size=(20, 30)) for n, s in (("a", 1.0), ("b", 0.01))}
    masks = masks_for({n: magnitude(w.astype(np.float32)) for n, w in weights.items()}, sparsity)
    assert sum(int((m == 0).sum()) for m in masks.values()) == round(sparsity * 1200)


@given(seed=st.integers(0, 2**16))
def test_within_a_matrix_smaller_weights_go_first(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(8, 9)).astype(np.float32)
    scores = magnitude(weights)
    order = np.argsort(np.abs(weights), axis=None)
    assert (np.diff(scores.ravel()[order]) >= 0).all()
    assert scores.max() == pytest.approx(1.0)


def test_scores_do_not_depend_on_a_matrixs_scale() -> None:
    weights = np.random.default_rng(0).normal(size=(8, 9)).astype(np.float32)
    np.testing.assert_allclose(magnitude(weights), magnitude(1000 * weights), rtol=1e-4)


def test_a_target_that_empties_a_matrix_names_it() -> None:
    scores = {"lstm1_gates": np.ones((4, 4)), "dense": np.full((2, 2), 0.1)}
    with pytest.raises(ValueError, match="leaves matrix 'dense' empty"):
        masks_for(scores, 0.5)


@pytest.mark.parametrize("every_steps", [5, 7])
def test_the_schedule_ends_at_the_target_and_then_rests(every_steps: int) -> None:
    model = MaskNet(16, (12,), 8, INT8, seed=2)
    pruner = GradualPruner(model, 0.9, end_step=20, every_steps=every_steps)
    reached = []
    for step in range(31):
        pruner.before_step(step)
        reached.append(sparsity_of(model)["all"])
    assert reached[0] == 0
    assert reached == sorted(reached)
    assert reached[20] == pytest.approx(0.9, abs=1e-3)
    assert len(set(reached[20:])) == 1
