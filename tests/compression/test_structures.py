"""What belongs together is removed together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compression.structures import (
    BlockStructure,
    Structure,
    UnitStructure,
    WeightStructure,
)
from pipeline.networks.groups import groups
from pipeline.networks.tinylstms import TinyLSTMs

GRAPH = TinyLSTMs(bands=16, lstm_units=(16, 8), dense_units=8).define()
SHAPES = {
    "lstm1_gates": (32, 48),
    "lstm1_candidate": (32, 16),
    "lstm2_gates": (24, 24),
    "lstm2_candidate": (24, 8),
    "dense": (8, 8),
    "mask": (8, 16),
}
STRUCTURES: dict[str, Structure] = {
    "weight": WeightStructure(SHAPES),
    "block": BlockStructure(SHAPES, 4, 8),
    "row block": BlockStructure(SHAPES, 1, 8),
    "column block": BlockStructure(SHAPES, 8, 1),
    "unit": UnitStructure(SHAPES, groups(GRAPH)),
}
structures = pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)


def random_matrices(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape) for name, shape in SHAPES.items()}


@structures
@given(seed=st.integers(0, 2**16))
def test_spreading_is_the_adjoint_of_summing(structure: Structure, seed: int) -> None:
    values = random_matrices(seed)
    sums = structure.sums(values)
    random = np.random.default_rng(seed + 1)
    groups = {name: random.normal(size=array.shape) for name, array in sums.items()}
    spread = structure.spread(groups)
    left = sum(float((sums[name] * groups[name]).sum()) for name in groups)
    right = sum(float((values[name] * spread[name]).sum()) for name in values)
    assert left == pytest.approx(right, rel=1e-4, abs=1e-3)


@structures
@given(seed=st.integers(0, 2**16), share=st.floats(0.1, 0.9))
def test_a_removed_group_has_no_weight_left(structure: Structure, seed: int, share: float) -> None:
    ones = {name: np.ones(shape) for name, shape in SHAPES.items()}
    sizes = structure.sums(ones)
    random = np.random.default_rng(seed)
    keep = {name: random.uniform(size=array.shape) > share for name, array in sizes.items()}
    masks = structure.masks(keep)
    left = structure.sums(masks)
    for name, kept in keep.items():
        assert (left[name][~kept] == 0).all()
    everything = structure.masks({name: np.ones_like(kept) for name, kept in keep.items()})
    assert all((mask == 1).all() for mask in everything.values())


def test_a_unit_is_its_gates_its_recurrence_and_its_readers() -> None:
    structure = STRUCTURES["unit"]
    sizes = {"lstm1_gates": 16, "lstm2_gates": 8, "dense": 8}
    keep = {name: np.ones(size, bool) for name, size in sizes.items()}
    keep["lstm1_gates"][3] = False
    masks = structure.masks(keep)
    gates = np.ones((32, 48))
    gates[:, [3, 19, 35]] = 0
    gates[16 + 3] = 0
    np.testing.assert_array_equal(masks["lstm1_gates"], gates)
    assert (np.flatnonzero(~masks["lstm2_gates"].any(axis=1)) == [3]).all()
    assert (masks["dense"] == 1).all()


def test_a_block_that_does_not_fit_names_the_matrix() -> None:
    with pytest.raises(ValueError, match=r"'lstm1_gates' of 32 x 48 is not .* 5 x 8 blocks"):
        BlockStructure(SHAPES, 5, 8)
