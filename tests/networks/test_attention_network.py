"""Attention over bands, full and paired: equal in every view, trainable, its units tied by head."""

from pathlib import Path

import pytest
from agreement_of_views import assert_all_agree, features, in_integers
from pydantic import ValidationError

from pipeline.keras import tf
from pipeline.networks.attention import AttentionNet
from pipeline.networks.groups import groups
from pipeline.networks.trained import untrained
from tests.small_networks import front_end, trained_looking

SMALL = {
    "network": "attention", "bands": 32, "tokens": 8, "outer_channels": 8, "channels": 8,
    "blocks": 1, "convolutions": 1, "width": 16, "heads": 2, "channel_heads": 4, "sums": 4,
}  # fmt: skip


def settings(**changed: object) -> AttentionNet:
    return AttentionNet.model_validate(SMALL | changed)


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
    with pytest.raises(ValidationError, match="heads = 3 does not divide width"):
        settings(heads=3)
