"""What runs on a GPU computes what the numpy and Keras parts that it stands for compute."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.dsp import FrontEnd, analyse
from pipeline.keras import tf
from pipeline.networks.attention import AttentionNet
from pipeline.networks.convnet import ConvNet
from pipeline.networks.trained import Trained, untrained
from pipeline.pretraining.features import Analyser
from pipeline.pretraining.network import NetworkFunction
from pipeline.pretraining.objective import enhancement_loss
from pipeline.training import loss as keras_loss
from pipeline.training.batches import Batch
from tests.networks.kinds import BANDS, KINDS, network

NORMALIZED = {
    "convnet": ConvNet(network="convnet", bands=BANDS, channels=8, outer_channels=4, blocks=2),
    "paired attention": AttentionNet(
        network="attention", bands=BANDS, channels=8, outer_channels=4, blocks=1, tokens=8,
        width=8, channel_heads=2, sums=2,
    ),
}  # fmt: skip


def of(name: str) -> Trained:
    if name in KINDS:
        return network(KINDS[name](), seed=3)
    settings = NORMALIZED[name]
    made = untrained(settings, network(KINDS["gru"](), 0).front_end, seed=3)
    random = np.random.default_rng(1)
    moved = {
        n: a + random.uniform(0.1, 0.3, a.shape).astype(np.float32)
        for n, a in made.arrays.items()
        if n.endswith(("/gain", "/offset", "/mean", "/variance", "/bias"))
    }
    return dataclasses.replace(made, arrays=made.arrays | moved)


def features(hops: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (2, hops, BANDS)).astype(np.float32)


def as_jax(trained: Trained) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array) for name, array in trained.arrays.items()}


@pytest.mark.parametrize("name", [*KINDS, *NORMALIZED])
def test_mask_and_memory_are_those_of_the_sequence_view(name: str) -> None:
    trained, x = of(name), features(14)
    function, arrays = NetworkFunction(trained.graph), as_jax(trained)
    expected = trained.build()(x).numpy()
    assert expected.std() > 0.01
    first, memory, _ = function(arrays, jnp.asarray(x[:, :9]), function.start(2), False)
    rest, _, _ = function(arrays, jnp.asarray(x[:, 9:]), memory, False)
    np.testing.assert_allclose(np.concatenate([first, rest], axis=1), expected, atol=1e-5)


@pytest.mark.parametrize("name", [*KINDS, *NORMALIZED])
def test_gradients_are_those_of_the_sequence_view(name: str) -> None:
    trained, x = of(name), features(7)
    model, function = trained.build(), NetworkFunction(trained.graph)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(x, training=True)))
    variables = {f"{m.name}/kernel": m.kernel for m in model.matrices}
    expected = tape.gradient(loss, variables)

    def loss_of(arrays: dict[str, jax.Array]) -> jax.Array:
        return jnp.square(function(arrays, jnp.asarray(x), function.start(2), True)[0]).sum()

    found = jax.grad(loss_of)(as_jax(trained))
    for matrix, gradient in expected.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(found[matrix], gradient, atol=2e-4 * scale, err_msg=matrix)


def test_moments_of_a_batch_are_those_that_the_running_ones_follow() -> None:
    trained, x = of("convnet"), features(11)
    model, function = trained.build(), NetworkFunction(trained.graph)
    before = model.get_arrays()
    model(x, training=True)
    after = model.get_arrays()
    *_, moments = function(as_jax(trained), jnp.asarray(x), function.start(2), True)
    assert {n for n in after if n.endswith(("/mean", "/variance"))} == moments.keys()
    for name, moment in moments.items():
        expected = before[name] + 0.01 * (np.asarray(moment) - before[name])
        np.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=1e-6)


def test_a_masked_weight_counts_for_nothing() -> None:
    trained, x = of("attention"), features(5)
    mask = np.ones_like(trained.arrays["q/mask"])
    mask[:, 3] = 0
    trained = dataclasses.replace(trained, arrays=trained.arrays | {"q/mask": mask})
    function = NetworkFunction(trained.graph)
    found, *_ = function(as_jax(trained), jnp.asarray(x), function.start(2), False)
    np.testing.assert_allclose(found, trained.build()(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("conditioned", [False, True])
def test_spectra_and_features_are_those_of_the_front_end(conditioned: bool) -> None:
    random = np.random.default_rng(2)
    loud = np.repeat(random.uniform(0.01, 0.3, (3, 8)), 3000, axis=1)[:, :20_011]
    signals = (loud * random.normal(size=loud.shape) * 0.5 + 0.03).astype(np.float32)
    front_end = FrontEnd(
        np.full(64, 0.5, np.float32), np.full(64, 0.25, np.float32), conditioned=conditioned
    )
    spectra, expected = analyse(signals, front_end)
    found_spectra, found = Analyser(front_end, signals.shape[1]).spectra(jnp.asarray(signals))
    # The front end follows offset and level in integers, which are rounded.
    np.testing.assert_allclose(found_spectra, spectra, atol=0.02 if conditioned else 1e-4)
    np.testing.assert_allclose(found, expected, atol=0.01 if conditioned else 1e-4)


def test_loss_is_that_of_training() -> None:
    random = np.random.default_rng(4)
    clean = (0.1 * random.normal(size=(3, 8000))).astype(np.float32)
    clean[2] = 0
    noisy = clean + (0.05 * random.normal(size=clean.shape)).astype(np.float32)
    front_end = FrontEnd(np.zeros(64, np.float32), np.ones(64, np.float32))
    batch = Batch.from_audio(noisy, clean, front_end)
    mask = random.uniform(size=batch.features.shape).astype(np.float32)
    expected = keras_loss.enhancement_loss(tf.constant(mask), batch, 0.5).numpy()
    analysis = Analyser(front_end, clean.shape[1])(jnp.asarray(noisy), jnp.asarray(clean))
    found = enhancement_loss(jnp.asarray(mask), analysis, 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
