"""Pairs along singular vectors: the same function, learned ranks, the same bytes everywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.compression.low_rank import with_low_rank
from pipeline.compression.methods.low_rank import LowRank
from pipeline.compression.methods.svd_training import SvdTraining
from pipeline.compression.svd_training import (
    SingularValues,
    along_singular_vectors,
    pairs,
    shared_out,
    straightened,
)
from pipeline.errors import InputError
from pipeline.networks.groups import groups
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained, untrained
from pipeline.quantization import FLOAT
from tests.compression.few_steps import trained_with
from tests.networks.agreement_of_views import assert_all_agree, features, in_integers
from tests.small_networks import front_end, trained_looking

LSTMS = TinyLSTMs(bands=32, lstm_units=(16, 16), dense_units=16)
PAIRS = LowRank(do="low_rank", rank=24)
METHOD = SvdTraining(do="svd_training", rank=16, strength=0.05, orthogonality=0.05)


ONE_LAYER = LSTMS.model_copy(update={"lstm_units": (16,)})


def start(seed: int, settings: TinyLSTMs = LSTMS) -> Trained:
    return in_integers(trained_looking(untrained(settings, front_end(32), seed), seed), seed)


def in_float(seed: int) -> Trained:
    trained = dataclasses.replace(start(seed), scheme=FLOAT)
    return with_low_rank(trained, 24, features(seed))


def test_what_is_deployed_is_what_was_trained(tmp_path: Path) -> None:
    trained, mask = trained_with([PAIRS, METHOD], start(1, ONE_LAYER), 1)
    assert {g.name: g.units for g in groups(trained.graph)}["lstm1_basis"] == 16
    np.testing.assert_array_equal(trained.build()(features(1)).numpy(), mask)
    assert_all_agree(trained, tmp_path, 1)


def test_turning_changes_no_value_and_ends_at_singular_vectors() -> None:
    before = in_float(2)
    after = along_singular_vectors(before, features(2))
    mask = before.build()(features(2)).numpy()
    np.testing.assert_allclose(after.build()(features(2)).numpy(), mask, atol=1e-5)
    for pair in pairs(after.graph):
        values = after.build().observe(features(2), [pair.reduced])[pair.reduced].numpy()
        np.testing.assert_allclose(values.reshape(-1, 24).std(axis=0), 1, atol=1e-4)
        second = np.hstack([after.arrays[f"{name}/kernel"] for name in pair.readers]).T
        for vectors in (after.arrays[f"{pair.basis}/kernel"], second):
            unit = vectors / np.linalg.norm(vectors, axis=0)
            np.testing.assert_allclose(unit.T @ unit, np.eye(24), atol=1e-4)


def test_vectors_straighten_and_keep_their_lengths() -> None:
    factor = np.random.default_rng(3).normal(size=(40, 12))
    overlap = []
    for _ in range(60):
        unit = factor / np.linalg.norm(factor, axis=0)
        overlap.append(np.abs(unit.T @ unit - np.eye(12)).max())
        following = straightened(factor, 0.1)
        np.testing.assert_allclose(
            np.linalg.norm(following, axis=0), np.linalg.norm(factor, axis=0)
        )
        factor = following
    assert overlap[-1] < 0.01 * overlap[0]


def test_small_values_shrink_large_ones_grow_and_the_spread_between_stays() -> None:
    model = along_singular_vectors(in_float(4), features(4)).build()
    callback = SingularValues(model, 8, strength=0.02, orthogonality=0.0, end_step=5)
    pair = callback._pairs[0]
    first, second = pair.factors()
    before = pair.values()
    spread = np.linalg.norm(first, axis=0) / np.linalg.norm(second, axis=0)
    callback.before_step(0)
    after = pair.values()
    assert after[before.argmin()] < before.min() and after[before.argmax()] > before.max()
    first, second = pair.factors()
    after_spread = np.linalg.norm(first, axis=0) / np.linalg.norm(second, axis=0)
    np.testing.assert_allclose(after_spread, spread, rtol=1e-4)


def test_rank_goes_where_the_energy_is_spread() -> None:
    flat, steep = np.ones(32), 0.5 ** np.arange(32)
    kept = shared_out([flat, steep], 16)
    assert [int(k.sum()) for k in kept] == [24, 8]
    np.testing.assert_array_equal(np.flatnonzero(kept[1]), np.arange(8))


def test_it_needs_pairs_with_rank_to_spare() -> None:
    METHOD.check(LSTMS.define(), [PAIRS])
    with pytest.raises(InputError, match="put low_rank before it"):
        METHOD.check(LSTMS.define(), [])
    with pytest.raises(InputError, match="rank = 16 leaves nothing of the pairs' 16 to drop"):
        METHOD.check(LSTMS.define(), [LowRank(do="low_rank", rank=16)])
    with pytest.raises(InputError, match="no low-rank pair"):
        SingularValues(start(5).build(), 8, 0.01, 0.01, 4)
