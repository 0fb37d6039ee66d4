"""The network: its size, its two views, and its hand-written gradient."""

import dataclasses

import numpy as np
import pytest

from pipeline.keras import tf
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.quantization import FLOAT, INT8, INT16, Scheme
from pipeline.training.model import SequenceModel
from tests.small_networks import network, with_ranks

FEATURES = np.random.default_rng(3).uniform(-1, 1, (2, 30, 16)).astype(np.float32)


SIZES = TinyLSTMs(bands=16, lstm_units=(12, 8), dense_units=10)


def small(scheme: Scheme = FLOAT, ranks: tuple[int, ...] = (0, 0)) -> SequenceModel:
    return with_ranks(network(SIZES, scheme, seed=4, relu_maximum=2.0), ranks).build()


def test_the_default_network_is_the_papers() -> None:
    matrices = TinyLSTMs().define().matrices().values()
    assert sum((rows + 1) * columns for rows, columns in matrices) == 968_960


@pytest.mark.parametrize("scheme", [FLOAT, INT8, INT16], ids=lambda s: s.name)
@pytest.mark.parametrize("ranks", [(0, 0), (6, 5), (0, 5)])
def test_sequence_and_one_hop_views_agree(scheme: Scheme, ranks: tuple[int, ...]) -> None:
    model = small(scheme, ranks)
    memory, masks = model.start(2), []
    for hop in np.moveaxis(FEATURES, 1, 0):
        mask, memory = model.hop(tf.constant(hop), memory)
        masks.append(mask.numpy())
    np.testing.assert_allclose(np.stack(masks, 1), model(FEATURES).numpy(), atol=1e-5)


@pytest.mark.parametrize("scheme", [FLOAT, INT8], ids=lambda s: s.name)
@pytest.mark.parametrize("rank", [0, 6])
@pytest.mark.parametrize("kernel", [True, False])
def test_a_stream_in_pieces_is_the_stream(scheme: Scheme, rank: int, kernel: bool) -> None:
    trained = with_ranks(network(SIZES, scheme, seed=4, relu_maximum=2.0), (rank, 0))
    if not kernel:
        trained = dataclasses.replace(trained, graph=dataclasses.replace(trained.graph, regions=()))
    model = trained.build()
    memory, masks = model.start(2), []
    for piece in (FEATURES[:, :1], FEATURES[:, 1:17], FEATURES[:, 17:]):
        mask, memory = model.resume(piece, memory)
        masks.append(mask.numpy())
    np.testing.assert_allclose(np.concatenate(masks, 1), model(FEATURES).numpy(), atol=1e-5)
    hop_memory = model.start(2)
    for hop in np.moveaxis(FEATURES, 1, 0):
        _, hop_memory = model.hop(tf.constant(hop), hop_memory)
    assert memory.keys() == hop_memory.keys()
    for name, expected in hop_memory.items():
        np.testing.assert_allclose(memory[name].numpy(), expected.numpy(), atol=1e-5)


def test_the_gradient_of_a_piece_is_that_of_its_hops() -> None:
    model = small()
    before = {
        name: tf.constant(np.random.default_rng(5).uniform(-0.5, 0.5, x.shape).astype(np.float32))
        for name, x in model.start(2).items()
    }

    def hop_by_hop() -> "tf.Tensor":
        memory, masks = before, []
        for hop in np.moveaxis(FEATURES, 1, 0):
            mask, memory = model.hop(tf.constant(hop), memory)
            masks.append(mask)
        return tf.stack(masks, axis=1)

    gradients = []
    for forward in (lambda: model.resume(FEATURES, before)[0], hop_by_hop):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(forward()))
        gradients.append(tape.gradient(loss, model.trainable_weights))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("scheme", [INT8, INT16], ids=lambda s: s.name)
def test_integer_schemes_only_produce_grid_values(scheme: Scheme) -> None:
    mask = small(scheme)(FEATURES).numpy()
    steps = mask / scheme.grids["mask"].scale
    np.testing.assert_array_equal(steps, np.rint(steps))


@pytest.mark.parametrize("rank", [0, 6])
@pytest.mark.parametrize("other", ["hop by hop", "scan"])
def test_the_gradient_is_that_of_automatic_differentiation(rank: int, other: str) -> None:
    trained = with_ranks(network(SIZES, FLOAT, seed=4), (rank, 0))
    model = trained.build()
    plain = dataclasses.replace(trained, graph=dataclasses.replace(trained.graph, regions=()))
    scanned = plain.build()
    target = tf.constant(np.random.default_rng(0).normal(size=FEATURES.shape).astype(np.float32))
    x = tf.constant(FEATURES)

    def hop_by_hop() -> "tf.Tensor":
        memory, masks = model.start(2), []
        for t in range(x.shape[1]):
            mask, memory = model.hop(x[:, t], memory)
            masks.append(mask)
        return tf.stack(masks, axis=1)

    automatic = (model, hop_by_hop) if other == "hop by hop" else (scanned, lambda: scanned(x))
    gradients = []
    for owner, forward in ((model, lambda: model(x)), automatic):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(forward() * target)
        gradients.append(tape.gradient(loss, [*owner.trainable_weights, x]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=2e-4, atol=2e-5)


def test_masked_weights_have_no_effect_and_get_no_gradient() -> None:
    model = small(INT8)
    matrix = model.matrices[0]
    mask = np.ones(matrix.shape, np.float32)
    mask[3:9] = 0
    matrix.mask.assign(mask)
    before = model(FEATURES).numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(FEATURES))
    assert not tape.gradient(loss, matrix.kernel).numpy()[3:9].any()
    matrix.kernel.assign(matrix.kernel.numpy() + 0.1 * (1 - mask))
    np.testing.assert_array_equal(model(FEATURES).numpy(), before)


def test_loading_weights_names_what_does_not_fit() -> None:
    arrays = small().get_arrays()
    other = network(SIZES.model_copy(update={"lstm_units": (10, 8)})).build()
    with pytest.raises(ValueError, match=r"'lstm1_gates/kernel' is float32\[28, 36\]"):
        other.set_arrays(arrays)
    del arrays["mask/bias"]
    with pytest.raises(ValueError, match="'mask/bias' is missing"):
        small().set_arrays(arrays)
