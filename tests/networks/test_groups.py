"""Units that are really gone, from a network that computes the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compression.structures import UnitStructure
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.groups import groups, keep_units, remove_masked_units
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.runners import stream
from pipeline.runners.tflite import TfliteRunner
from tests.small_networks import network as small
from tests.small_networks import with_ranks

SIZES = TinyLSTMs(bands=16, lstm_units=(16, 8), dense_units=8)
RANKS = [(0, 0), (12, 8), (0, 8)]
FRAMES = 40


def network(seed: int, ranks: tuple[int, ...] = (0, 0)) -> Trained:
    trained = with_ranks(small(SIZES, seed=seed), ranks)
    random = np.random.default_rng(seed)
    for name, array in trained.arrays.items():
        if name.endswith("/bias"):
            trained.arrays[name] = random.normal(scale=0.3, size=array.shape).astype(np.float32)
    return trained


def masks_of(trained: Trained, seed: int) -> np.ndarray:
    features = np.random.default_rng(seed).uniform(-1, 1, (FRAMES, 16)).astype(np.float32)
    return stream(TfliteRunner(to_tflite(trained, "net")), features)


def random_units(random: np.random.Generator, share: float, trained: Trained) -> dict:
    keep = {g.name: random.uniform(size=g.units) > share for g in groups(trained.graph)}
    for chosen in keep.values():
        chosen[random.integers(chosen.size)] = True
    return keep


def test_a_unit_is_its_gates_its_recurrence_and_its_readers() -> None:
    pair = groups(network(0, (12, 0)).graph)
    assert [(g.name, g.units) for g in pair] == [
        ("lstm1_basis", 12), ("lstm1_gates", 16), ("lstm2_gates", 8), ("dense", 8),
    ]  # fmt: skip
    places = {g.name: sorted((tie.matrix, tie.axis) for tie in g.ties) for g in pair}
    assert places["lstm1_basis"] == [
        ("lstm1_basis", 1), ("lstm1_candidate", 0), ("lstm1_gates", 0),
    ]  # fmt: skip
    assert places["lstm1_gates"] == [
        ("lstm1_basis", 0), ("lstm1_candidate", 1), ("lstm1_gates", 1),
        ("lstm2_candidate", 0), ("lstm2_gates", 0),
    ]  # fmt: skip
    ties = {(tie.matrix, tie.axis): tie.unit for tie in pair[1].ties}
    np.testing.assert_array_equal(ties["lstm1_gates", 1], np.tile(np.arange(16), 3))
    outside = np.full(16, -1)
    np.testing.assert_array_equal(ties["lstm1_basis", 0], [*outside, *range(16)])


@settings(max_examples=8)
@given(seed=st.integers(0, 2**16), share=st.floats(0.1, 0.9), ranks=st.sampled_from(RANKS))
def test_the_smaller_network_computes_the_same_bytes(
    seed: int, share: float, ranks: tuple[int, ...]
) -> None:
    trained = network(seed, ranks)
    keep = random_units(np.random.default_rng(seed), share, trained)
    shapes = trained.graph.matrices()
    for name, mask in UnitStructure(shapes, groups(trained.graph)).masks(keep).items():
        trained.arrays[f"{name}/mask"] = mask
    smaller = remove_masked_units(trained)
    counts = {group.name: group.units for group in groups(smaller.graph)}
    assert counts == {name: int(chosen.sum()) for name, chosen in keep.items()}
    assert all((smaller.arrays[f"{n}/mask"] == 1).all() for n in shapes)
    np.testing.assert_array_equal(masks_of(smaller, seed), masks_of(trained, seed))


@settings(max_examples=4)
@given(seed=st.integers(0, 2**16), ranks=st.sampled_from(RANKS))
def test_the_order_of_units_is_free(seed: int, ranks: tuple[int, ...]) -> None:
    trained = network(seed, ranks)
    random = np.random.default_rng(seed)
    order = {group.name: random.permutation(group.units) for group in groups(trained.graph)}
    permuted = keep_units(trained, order)
    assert permuted.graph == trained.graph
    np.testing.assert_array_equal(masks_of(permuted, seed), masks_of(trained, seed))


def test_a_group_without_units_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="group 'lstm2_gates' would lose every unit"):
        keep_units(network(0), {"lstm2_gates": np.array([], int)})
