"""A recurrence without a kernel of its own: a GRU (Cho et al., 2014), as nodes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from agreement_of_views import assert_all_agree, features, in_integers
from kinds import UNITS, gru, network

from pipeline.keras import tf
from pipeline.networks.groups import groups, keep_units, remove_masked_units
from pipeline.networks.rewrites import recurrent_products


@pytest.mark.parametrize("seed", range(3))
def test_every_view_computes_the_same_bytes(seed: int, tmp_path: Path) -> None:
    assert_all_agree(in_integers(network(gru(), seed), seed), tmp_path, seed)


@pytest.mark.parametrize("integers", [False, True])
def test_the_scan_is_the_hop_repeated_and_its_gradient_flows(integers: bool) -> None:
    trained = in_integers(network(gru(), 1), 1) if integers else network(gru(), 1)
    model, heard = trained.build(), tf.constant(features(1, 12))
    gradients, values = [], []
    for forward in (lambda: model(heard), lambda: _by_hops(model, heard)):
        with tf.GradientTape() as tape:
            mask = forward()
            loss = tf.reduce_sum(tf.square(mask - 0.4))
        values.append(mask.numpy())
        gradients.append([g.numpy() for g in tape.gradient(loss, model.trainable_weights)])
    np.testing.assert_allclose(*values, atol=1e-6)
    for scanned, repeated in zip(*gradients, strict=True):
        assert np.abs(scanned).max() > 0
        np.testing.assert_allclose(scanned, repeated, rtol=1e-3, atol=1e-4)


def _by_hops(model: object, heard: "tf.Tensor") -> "tf.Tensor":
    memory, masks = model.start(2), []  # type: ignore[attr-defined]
    for t in range(heard.shape[1]):
        mask, memory = model.hop(heard[:, t], memory)  # type: ignore[attr-defined]
        masks.append(mask)
    return tf.stack(masks, axis=1)


def test_its_units_are_removed(tmp_path: Path) -> None:
    trained = in_integers(network(gru(), 2), 2)
    (group,) = groups(trained.graph)
    assert group.units == UNITS
    assert sorted((tie.matrix, tie.axis) for tie in group.ties) == [
        ("n", 0), ("n", 1), ("out", 0), ("zr", 0), ("zr", 1),
    ]  # fmt: skip
    for tie in group.ties:
        line = np.where(np.isin(tie.unit, [1, 5]), 0, 1).astype(np.float32)
        mask = trained.arrays[f"{tie.matrix}/mask"]
        trained.arrays[f"{tie.matrix}/mask"] = mask * np.expand_dims(line, 1 - tie.axis)
    smaller = remove_masked_units(trained)
    assert groups(smaller.graph)[0].units == UNITS - 2
    heard = features(2)
    np.testing.assert_array_equal(trained.build()(heard), smaller.build()(heard))
    order = np.random.default_rng(0).permutation(UNITS - 2)
    permuted = keep_units(smaller, {group.name: order})
    np.testing.assert_array_equal(permuted.build()(heard), smaller.build()(heard))
    assert list(recurrent_products(dataclasses.replace(trained).graph)) == ["xh", "xrh"]
