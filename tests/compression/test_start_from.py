"""A compressed network of another run goes on learning."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.compression.methods.prune import Prune
from pipeline.compression.methods.start_from import StartFrom
from pipeline.dsp import FrontEnd
from pipeline.errors import InputError
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.quantization import FLOAT, INT8
from tests.compression.few_steps import trained_with
from tests.small_networks import network, trained_looking, with_ranks

SIZES = TinyLSTMs(bands=32, lstm_units=(16,), dense_units=8)


def given(folder: Path) -> tuple[StartFrom, Trained]:
    """A sparse network with a low-rank pair, in a file."""
    sparse = trained_looking(with_ranks(network(SIZES), (8,)), seed=3, sparsity=0.7)
    sparse.save(folder / "sparse.safetensors")
    return StartFrom(do="start_from", weights=folder / "sparse.safetensors"), sparse


def test_it_keeps_pairs_and_zeros_learns_and_hears_through_the_new_front_end(
    tmp_path: Path,
) -> None:
    method, sparse = given(tmp_path)
    dense = network(SIZES)
    heard = FrontEnd(np.full(32, 0.25, np.float32), np.ones(32, np.float32), conditioned=True)
    dense = Trained(dense.graph, heard, dense.arrays, INT8)
    after, _ = trained_with([method], dense, seed=1)
    assert after.graph == sparse.graph and after.front_end.conditioned
    np.testing.assert_array_equal(after.front_end.mean, heard.mean)
    moved = 0
    for matrix in sparse.graph.matrices():
        mask = sparse.arrays[f"{matrix}/mask"]
        np.testing.assert_array_equal(after.arrays[f"{matrix}/mask"], mask)
        kernel = after.arrays[f"{matrix}/kernel"]
        moved += np.sum(kernel * mask != sparse.arrays[f"{matrix}/kernel"] * mask)
    assert moved > 0


def test_what_cannot_be_gone_on_from_is_refused(tmp_path: Path) -> None:
    method, _ = given(tmp_path)
    graph = SIZES.define().folded()
    method.check(graph, [])
    with pytest.raises(InputError, match="start_from undoes prune; let it come first"):
        method.check(graph, [Prune(do="prune", sparsity=0.5)])
    other = TinyLSTMs(bands=64, lstm_units=(16,), dense_units=8).define().folded()
    with pytest.raises(InputError, match=r"reads \(32,\) features.* \(64,\); make"):
        method.check(other, [])
    network(SIZES, FLOAT).save(method.weights)
    with pytest.raises(InputError, match="is a floating-point network; give a compressed one"):
        method.check(graph, [])
    method.weights.unlink()
    with pytest.raises(InputError, match="sparse.safetensors"):
        method.check(graph, [])
