"""Attention over bands, full and paired: equal in every view, trainable, its units tied by head."""

from pathlib import Path

import numpy as np
import pytest
from agreement_of_views import assert_all_agree, features, in_integers
from pydantic import ValidationError

from pipeline.errors import InputError
from pipeline.keras import tf
from pipeline.networks.attention import AttentionNet
from pipeline.networks.groups import groups, keep_units
from pipeline.networks.trained import untrained
from tests.small_networks import front_end, trained_looking

SMALL = {
    "network": "attention", "bands": 32, "tokens": 8, "outer_channels": 8, "channels": 8,
    "blocks": 1, "convolutions": 1, "width": 16, "heads": 2,
}  # fmt: skip
PAIRED = {"channel_heads": 4, "sums": 4}


def settings(attention: str = "paired", **changed: object) -> AttentionNet:
    paired = PAIRED if attention == "paired" else {}
    return AttentionNet.model_validate(SMALL | {"attention": attention} | paired | changed)


@pytest.mark.parametrize("attention", ["full", "paired"])
def test_every_view_computes_the_same_bytes(attention: str, tmp_path: Path) -> None:
    network = settings(attention=attention)
    trained = trained_looking(untrained(network, front_end(32), seed=1), seed=1)
    assert_all_agree(in_integers(trained, 1), tmp_path, 1)


def test_queries_and_keys_stand_and_fall_together_by_head() -> None:
    found = {g.name: g for g in groups(settings(attention="full").define())}
    places = {name: sorted((t.matrix, t.axis) for t in g.ties) for name, g in found.items()}
    assert places["block1_query"] == [("block1_key", 1), ("block1_query", 1)]
    assert places["block1_value"] == [("block1_back", 0), ("block1_value", 1)]
    for name in ("block1_query", "block1_value"):
        heads = [group for group in found.values() if group.heads == name]
        assert [group.units for group in heads] == [8, 8]


def test_heads_lose_equally_many_channels_of_their_own_choice() -> None:
    trained = in_integers(untrained(settings(attention="full"), front_end(32), seed=3), 3)
    heads = [g for g in groups(trained.graph) if g.heads == "block1_query"]
    with pytest.raises(InputError, match=r"'block1_query.2' would lose 0 units and .* 3"):
        keep_units(trained, {heads[0].name: np.arange(5)})
    smaller = keep_units(trained, {heads[0].name: np.arange(5), heads[1].name: np.arange(3, 8)})
    kept = trained.arrays["block1_query/kernel"][:, [0, 1, 2, 3, 4, 11, 12, 13, 14, 15]]
    np.testing.assert_array_equal(smaller.arrays["block1_query/kernel"], kept)
    assert smaller.graph["block1_scores"].shape == (2, 8, 8)


def test_what_a_softmax_over_channels_reads_cannot_be_removed() -> None:
    makers = {t.matrix for g in groups(settings().define()) for t in g.ties if t.axis == 1}
    assert "block1_value" in makers
    assert not makers & {"block1_query", "block1_key", "block1_channel_value", "block1_key_sums"}


def test_every_weight_has_a_gradient_in_integers() -> None:
    trained = in_integers(untrained(settings(), front_end(32), seed=2), 2)
    model, heard = trained.build(), tf.constant(features(2, 12))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(heard) - 0.4))
    kernels = [m.kernel for m in model.matrices]
    for kernel, slope in zip(kernels, tape.gradient(loss, kernels), strict=True):
        assert float(tf.reduce_max(tf.abs(slope))) > 0, kernel.path


def test_sizes_that_do_not_fit_are_named() -> None:
    for attention, changed, problem in (
        ("paired", {"heads": 3}, "heads = 3 does not divide width"),
        ("full", {"sums": 4}, 'sums has no effect with attention = "full"'),
        ("none", {}, 'width has no effect with attention = "none"'),
        ("full", {"width": 256}, "tokens and width reach 128"),
    ):
        with pytest.raises(ValidationError, match=problem):
            settings(attention, **changed)
