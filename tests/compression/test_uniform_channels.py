"""Channels of little importance go, the same share of every layer; nothing of the blocks stays."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pipeline.compression.channel_excitation import ChannelExcitations
from pipeline.compression.methods.reinitialize import Reinitialize
from pipeline.compression.methods.skip_updates import SkipUpdates
from pipeline.compression.methods.uniform_channels import UniformChannels
from pipeline.compression.uniform import kept
from pipeline.errors import InputError
from pipeline.networks.convnet import ConvNet
from pipeline.networks.graph import Net
from pipeline.networks.groups import groups
from pipeline.networks.tinylstms import TinyLSTMs, lstm_cell
from pipeline.networks.trained import Trained, untrained
from tests.compression.few_steps import trained_with
from tests.networks.agreement_of_views import assert_all_agree, features, in_integers
from tests.small_networks import front_end, trained_looking

CONVNET = ConvNet(network="convnet", bands=32, outer_channels=16, channels=32, blocks=2)
LSTMS = TinyLSTMs(bands=32, lstm_units=(16, 16), dense_units=16)


def start(seed: int) -> Trained:
    return in_integers(trained_looking(untrained(CONVNET, front_end(32), seed), seed), seed)


def cut(importance: Literal["excitation", "magnitude", "random"]) -> UniformChannels:
    return UniformChannels(do="uniform_channels", importance=importance, sparsity=0.5)


def test_what_is_deployed_is_what_the_blocks_left(tmp_path: Path) -> None:
    trained, mask = trained_with([cut("excitation")], start(1), 1)
    assert {group.units for group in groups(trained.graph)} == {8, 16}
    np.testing.assert_array_equal(trained.build()(features(1)).numpy(), mask)
    assert_all_agree(trained, tmp_path, 1)


def test_blocks_change_nothing_at_first_and_are_trained() -> None:
    trained = start(2)
    expected = trained.build()(features(2), training=True).numpy()
    model = trained.build()
    few = len(model.trainable_weights)
    blocks = ChannelExcitations(model)
    np.testing.assert_array_equal(model(features(2), training=True).numpy(), expected)
    assert len(model.trainable_weights) == few + 2 * len(model.excitations) + 2 * 2
    assert all((units == 0.5).all() for units in blocks.importances().values())


def test_tied_channels_share_the_mean_of_their_scores() -> None:
    model = start(3).build()
    blocks = ChannelExcitations(model)
    makers = ("encoder2", "block1_conv", "block2_conv")
    for k, name in enumerate(makers):
        model.excitations[name].importance.assign(np.linspace(0, k, 32))
    np.testing.assert_allclose(blocks.importances()["encoder2"], np.linspace(0, 1, 32), atol=1e-6)
    # Both halves of what is made twice as wide and read as twice as many bands.
    model.excitations["decoder2"].importance.assign(np.repeat([0.2, 0.6], 16))
    np.testing.assert_allclose(blocks.importances()["encoder1"][:4], (0.5 + 0.2 + 0.6) / 3)


def test_closing_leaves_the_average_in_the_weights() -> None:
    model = start(4).build()
    blocks = ChannelExcitations(model)
    model.excitations["decoder1"].importance.assign(np.linspace(0.1, 0.9, 16))
    before = model.matrices[-2].kernel.numpy()
    blocks.close()
    assert model.matrices[-2].name == "decoder1"
    after = model.matrices[-2].kernel.numpy()
    np.testing.assert_allclose(after, before * 2 * np.linspace(0.1, 0.9, 16), rtol=1e-6)
    np.testing.assert_array_equal(
        model(features(4), training=True).numpy(), model(features(4)).numpy()
    )


def test_the_rule_of_the_paper_is_relative_to_the_layer() -> None:
    scores = np.array([0.5] * 24 + [0.6] * 16)
    np.testing.assert_array_equal(kept(scores, None), scores > 0.55)
    # In eights: 23 become 24.
    scores = np.array([0.4] * 17 + [0.6] * 23)
    assert kept(scores, None).sum() == 24
    assert kept(np.arange(16.0), 0.9).sum() == 8


@pytest.mark.parametrize("importance", ["magnitude", "random"])
def test_baselines_remove_as_many(importance: Literal["magnitude", "random"]) -> None:
    trained, _ = trained_with([cut(importance)], start(5), 5)
    assert {group.units for group in groups(trained.graph)} == {8, 16}


def test_magnitude_removes_the_weakest() -> None:
    weak = start(6)
    for name in ("encoder2", "block1_conv", "block2_conv"):
        weak.arrays[f"{name}/kernel"][:, 8:24] *= 0.01
        weak.arrays[f"{name}/bias"][:] = np.arange(32)
    trained, _ = trained_with([cut("magnitude")], weak, 6)
    kept_bias = np.rint(trained.arrays["block1_conv/bias"]).astype(int)
    assert kept_bias.tolist() == [*range(8), *range(24, 32)]


def test_a_network_of_recurrences_has_no_place_for_blocks() -> None:
    cut("excitation").check(LSTMS.define(), [])  # Its dense layer is one.
    net = Net()
    x = net.input("features", (16,), "hidden")
    h, c = net.state("h", (16,), "hidden"), net.state("c", (16,), "cell")
    recurrent = net.build(lstm_cell(net, "lstm", x, h, c))
    with pytest.raises(InputError, match="no squeeze-and-excitation block has a place"):
        cut("excitation").check(recurrent, [])
    cut("magnitude").check(recurrent, [])


def test_blocks_need_all_hops_together() -> None:
    lstms = in_integers(trained_looking(untrained(LSTMS, front_end(32), 8), 8), 8)
    with pytest.raises(InputError, match="put uniform_channels into a parent of skip_updates"):
        trained_with([cut("excitation"), SkipUpdates(do="skip_updates", cost=1.0)], lstms, 8)


def test_new_weights_in_the_old_shape(tmp_path: Path) -> None:
    parent, _ = trained_with([cut("magnitude")], start(7), 7)
    fresh, _ = trained_with([Reinitialize(do="reinitialize")], parent, 7)
    assert fresh.graph == parent.graph and fresh.scheme == parent.scheme
    for matrix in parent.graph.matrices():
        old, new = parent.arrays[f"{matrix}/kernel"], fresh.arrays[f"{matrix}/kernel"]
        assert abs(np.corrcoef(old.ravel(), new.ravel())[0, 1]) < 0.3
        assert 0.7 < new.std() / np.sqrt(np.mean(old**2)) < 1.4
    assert_all_agree(fresh, tmp_path, 7)
