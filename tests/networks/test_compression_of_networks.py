"""Every kind of network goes through training, pruning and lowering with 0 mismatches."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from agreement_of_views import assert_all_agree, features, in_integers

from pipeline.compression.method import Plan, StructureName
from pipeline.compression.methods.prune import Prune
from pipeline.keras import tf
from pipeline.networks.convnet import ConvNet
from pipeline.networks.groups import remove_masked_units
from pipeline.networks.settings import NetworkSettings
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import untrained
from tests.small_networks import front_end, trained_looking

PLAN = Plan(steps=6, prune_end=4, every_steps=1)
CONVNET = ConvNet(network="convnet", bands=32, outer_channels=16, channels=16, blocks=2)
LSTMS = TinyLSTMs(bands=32, lstm_units=(16, 16), dense_units=16)


@pytest.mark.parametrize("settings", [CONVNET, LSTMS], ids=lambda s: s.network)
@pytest.mark.parametrize("structure", ["weight", "block", "unit"])
def test_a_pruned_network_is_the_same_everywhere(
    settings: NetworkSettings, structure: StructureName, tmp_path: Path
) -> None:
    start = trained_looking(untrained(settings, front_end(32), seed=3), seed=3)
    start = in_integers(start, 3)
    model, heard = start.build(), tf.constant(features(3, 20))
    block = (4, 4) if structure == "block" else None
    method = Prune(do="prune", structure=structure, block=block, sparsity=0.5)
    (pruner,) = method.callbacks(model, PLAN)
    optimizer = tf.keras.optimizers.Adam(1e-3)
    for step in range(PLAN.steps):
        pruner.before_step(step)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(heard, training=True) - 0.5))
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
    trained = dataclasses.replace(start, arrays=model.get_arrays())
    masks = [array for name, array in trained.arrays.items() if name.endswith("/mask")]
    assert np.mean(np.concatenate([mask.ravel() for mask in masks])) < 0.7
    smaller = remove_masked_units(trained)
    assert (smaller.total("kernel") < trained.total("kernel")) == (structure == "unit")
    assert_all_agree(smaller, tmp_path, 3)
