"""A gate that skips hops: the same hops in training, on every runner and by the paper's formula."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.compression.method import Plan
from pipeline.compression.methods.low_rank import LowRank
from pipeline.compression.methods.prune import Prune
from pipeline.compression.methods.skip_updates import SkipUpdates
from pipeline.corpora.testset import Mixture
from pipeline.dsp import HOP_SAMPLES, analyse
from pipeline.errors import InputError
from pipeline.keras import tf
from pipeline.lowering.proof import prove, speaks
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.convnet import ConvNet
from pipeline.networks.graph import LONGEST_WAIT, GraphError
from pipeline.networks.groups import remove_masked_units
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.runners import HopStream, skipped_hops
from pipeline.runners.tflite import TfliteRunner
from pipeline.training import skipping
from pipeline.training.loop import LossTerm
from tests.compression.few_steps import trained_with
from tests.networks.agreement_of_views import assert_all_agree, features, in_integers
from tests.small_networks import network, trained_looking

SIZES = TinyLSTMs(bands=32, lstm_units=(16, 8), dense_units=16)
METHOD = SkipUpdates(do="skip_updates", cost=0.5)
HOPS = 60


def gated(bias: float = -0.5, seed: int = 3) -> Trained:
    """With a gate that waits for one to four hops, as its cell goes up and down."""
    start = METHOD.start(trained_looking(network(SIZES, seed=seed), seed), features(seed))
    arrays = dict(start.arrays)
    arrays["update_gate/kernel"] = arrays["update_gate/kernel"] * np.float32(60)
    arrays["update_gate/bias"] = np.full(1, bias, np.float32)
    return dataclasses.replace(start, arrays=arrays)


@pytest.mark.parametrize(
    ("share", "skipped"),
    [(1.0, 0), (0.5, 0), (127 / 256, 1), (0.25, 1), (63 / 256, 2), (43 / 256, 2), (42 / 256, 3),
     (1 / 256, 3), (0.0, 3)],
)  # fmt: skip
def test_shares_add_up_to_a_half(share: float, skipped: int) -> None:
    assert skipped_hops(share) == skipped
    memory = skipping.start(1, 4) | {"h": tf.zeros([1, 3])}
    computed = []
    for hop in range(9):
        mask, memory = skipping.skipping(
            tf.constant([[share]]),
            tf.fill([1, 4], float(hop)),
            {"h": tf.ones([1, 3]) * hop},
            memory,
        )
        computed.append(float(mask[0, 0]) == hop)
        np.testing.assert_array_equal(memory["h"], np.full((1, 3), mask[0, 0]))
    assert computed == [hop % (skipped + 1) == 0 for hop in range(9)]
    assert float(tf.squeeze(memory[skipping.COMPUTED])) == sum(computed)


def test_all_views_skip_the_same_hops(tmp_path: Path) -> None:
    trained = gated()
    assert_all_agree(trained, tmp_path, 3)
    runner = HopStream(TfliteRunner(tmp_path / "net.tflite"))
    masks = runner(features(3, HOPS)[0])
    computed = sum(runner.computed)
    assert HOPS / LONGEST_WAIT < computed < 0.9 * HOPS
    stayed = (masks[1:] == masks[:-1]).all(axis=1)
    assert stayed.sum() >= HOPS - computed
    waits = np.diff(np.flatnonzero(np.r_[True, ~stayed]))
    assert waits.max() <= LONGEST_WAIT
    assert len(np.unique(waits)) > 1


@pytest.mark.parametrize("every", range(2, LONGEST_WAIT + 1))
def test_a_fixed_rate_is_kept_whatever_is_heard_and_learned(every: int) -> None:
    start = in_integers(trained_looking(network(SIZES, seed=3), 3), 3)
    trained, mask = trained_with([SkipUpdates(do="skip_updates", every=every)], start, 3)
    stayed = (mask[:, 1:] == mask[:, :-1]).all(axis=2)
    moved = np.arange(1, HOPS) % every == 0
    assert stayed[:, ~moved].all() and not stayed[:, moved].all(axis=1).any()
    assert np.unique(trained.arrays["update_gate/kernel"]).size == 1


def test_the_proof_counts_hops_in_speech_and_in_pauses_apart() -> None:
    random = np.random.default_rng(3)
    loud = np.repeat([1.0, 0.001, 0.0, 0.5], 20)
    clean = random.normal(scale=0.1, size=(loud.size, HOP_SAMPLES)) * loud[:, None]
    noisy = clean + random.normal(scale=0.05, size=clean.shape) * (1 + loud[:, None])
    mixture = Mixture("m", *(x.astype(np.float32).ravel() for x in (noisy, clean)), 0.0, "noise")
    spoken = speaks(mixture.clean)
    np.testing.assert_array_equal(spoken[: loud.size], loud > 0.01)
    trained = gated()
    model = to_tflite(trained, "net")
    _, heard = analyse(mixture.noisy, trained.front_end)
    hops = HopStream(TfliteRunner(model))
    hops(heard)
    computed, spoken = np.array(hops.computed), spoken[: len(heard)]
    proof = prove(trained, model, [mixture], 1)
    assert proof.computed_share == computed.mean() < 1
    assert proof.computed_in_speech == computed[spoken].mean()
    assert proof.computed_in_pauses == computed[~spoken].mean()


def test_it_goes_with_pairs_and_fewer_units(tmp_path: Path) -> None:
    start = trained_looking(network(SIZES, seed=3), 3)
    for method in (LowRank(do="low_rank", rank=8), METHOD):
        start = method.start(start, features(3))
    model = start.build()
    prune = Prune(do="prune", structure="unit", sparsity=0.4)
    for callback in prune.callbacks(model, Plan(steps=3, prune_end=1, every_steps=1)):
        for step in range(3):
            callback.before_step(step)
    smaller = remove_masked_units(dataclasses.replace(start, arrays=model.get_arrays()))
    assert smaller.total("kernel") < start.total("kernel")
    assert smaller.graph["update_gate"].shape == (1,)
    path = tmp_path / "kept.safetensors"
    smaller.save(path)
    assert Trained.load(path).graph == smaller.graph
    assert_all_agree(smaller, tmp_path, 3)


def test_a_price_closes_the_gate() -> None:
    start = trained_looking(network(SIZES, seed=3), 3)
    model = METHOD.start(start, features(3)).build()
    plan = Plan(steps=12, prune_end=6, every_steps=1)
    (price,) = SkipUpdates(do="skip_updates", cost=20.0).callbacks(model, plan)
    assert isinstance(price, LossTerm)
    gate = next(m for m in model.matrices if m.name == "update_gate")
    optimizer, variables = tf.keras.optimizers.Adam(0.2), [gate.kernel, gate.bias]
    heard = tf.constant(features(3, 24))

    @tf.function
    def gradients() -> tuple["tf.Tensor", list["tf.Tensor"]]:
        before = model.start(2)
        with tf.GradientTape() as tape:
            mask, after = model.resume(heard, before, training=True)
            loss = price.loss(before, after, tf.shape(mask)[1])
            loss += tf.reduce_mean(tf.square(mask - 0.5))
        return after[skipping.COMPUTED], tape.gradient(loss, variables)

    shares = []
    for step in range(plan.steps):
        price.before_step(step)
        computed, found = gradients()
        shares.append(float(tf.reduce_mean(computed)) / 24)
        optimizer.apply_gradients(zip(found, variables, strict=True))
    assert shares[0] == 1.0
    assert shares[-1] < 0.8


def test_what_cannot_be_held_is_refused() -> None:
    convolutions = ConvNet(network="convnet", bands=32, outer_channels=16, channels=16, blocks=2)
    with pytest.raises(InputError, match="recurrent"):
        METHOD.check(convolutions.define(), [])
    with pytest.raises(InputError, match="already"):
        METHOD.check(SIZES.define(), [METHOD])
    for settings in ({}, {"cost": 1.0, "every": 2}):
        with pytest.raises(ValueError, match="a gate that learns, or every for a fixed rate"):
            SkipUpdates.model_validate({"do": "skip_updates"} | settings)
    with pytest.raises(GraphError, match="one value"):
        dataclasses.replace(SIZES.define(), gate="mask")
