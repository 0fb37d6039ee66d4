"""Which groups go, and when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compression.criterion import adaptive_magnitude, groups_to_keep
from pipeline.compression.pruner import GradualPruner, sparsity_of
from pipeline.compression.schedule import RisingSparsity
from pipeline.compression.structures import WeightStructure
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.training.model import SequenceModel
from tests.small_networks import network


def shapes_of(model: SequenceModel) -> dict[str, tuple[int, int]]:
    return {matrix.name: matrix.shape for matrix in model.matrices}


@given(sparsity=st.floats(0, 0.97), seed=st.integers(0, 2**16))
def test_exactly_the_requested_share_is_removed(sparsity: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    energies = {n: random.normal(scale=s, size=(20, 30)) ** 2 for n, s in (("a", 1), ("b", 0.01))}
    keep = groups_to_keep(energies, sparsity)
    assert sum(int((~k).sum()) for k in keep.values()) == round(sparsity * 1200)


@given(seed=st.integers(0, 2**16))
def test_within_a_family_smaller_groups_go_first(seed: int) -> None:
    energies = np.random.default_rng(seed).normal(size=(8, 9)) ** 2
    scores = adaptive_magnitude(energies)
    assert (np.diff(scores.ravel()[np.argsort(energies, axis=None)]) >= 0).all()
    assert scores.max() == pytest.approx(1.0)


def test_scores_do_not_depend_on_a_familys_scale() -> None:
    energies = np.random.default_rng(0).normal(size=(8, 9)) ** 2
    np.testing.assert_allclose(adaptive_magnitude(energies), adaptive_magnitude(1e6 * energies))


def test_a_family_of_zeros_scores_zero() -> None:
    np.testing.assert_array_equal(adaptive_magnitude(np.zeros((2, 2))), np.zeros((2, 2)))


@given(sparsity=st.floats(0.05, 0.9), seed=st.integers(0, 2**16))
def test_families_keep_whole_multiples(sparsity: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    energies = {"lstm1": random.uniform(size=64), "lstm2": random.uniform(size=40)}
    keep = groups_to_keep(energies, sparsity, multiple=8)
    for name, chosen in keep.items():
        assert chosen.sum() % 8 == 0
        kept, removed = energies[name][chosen], energies[name][~chosen]
        assert removed.size == 0 or kept.min() >= removed.max()


def test_a_target_that_empties_a_matrix_names_it() -> None:
    energies = {"lstm1_gates": np.ones((4, 4)), "dense": np.zeros((2, 2))}
    with pytest.raises(ValueError, match=r"leaves 'dense' empty; lower the target"):
        groups_to_keep(energies, 0.25)


@pytest.mark.parametrize("every_steps", [5, 7])
def test_the_schedule_ends_at_the_target_and_then_rests(every_steps: int) -> None:
    model = network(TinyLSTMs(bands=16, lstm_units=(12,), dense_units=8), seed=2).build()
    schedule = RisingSparsity(0.9, end_step=20, every_steps=every_steps)
    pruner = GradualPruner(model, WeightStructure(shapes_of(model)), schedule)
    reached = []
    for step in range(31):
        pruner.before_step(step)
        reached.append(sparsity_of(model)["all"])
    assert reached[0] == 0
    assert reached == sorted(reached)
    assert reached[20] == pytest.approx(0.9, abs=1e-3)
    assert len(set(reached[20:])) == 1


def test_what_a_parent_lacks_stays_away_and_counts() -> None:
    model = network(TinyLSTMs(bands=16, lstm_units=(12,), dense_units=8), seed=2).build()
    absent = np.random.default_rng(0).uniform(size=(16 + 12, 36)) < 0.5
    gates = model.matrices[0]
    gates.mask.assign((~absent).astype(np.float32))
    pruner = GradualPruner(model, WeightStructure(shapes_of(model)), RisingSparsity(0.6, 4, 1))
    for step in range(5):
        pruner.before_step(step)
    assert not gates.mask.numpy()[absent].any()
    assert sparsity_of(model)["all"] == pytest.approx(0.6, abs=1e-3)
