"""The network: its size, its two views, and its hand-written gradient."""

import numpy as np
import pytest

from pipeline.config import Model
from pipeline.keras import tf
from pipeline.models import MaskNet
from pipeline.models.lstm import LSTM
from pipeline.quantization import FLOAT, INT8, INT16, Scheme

FEATURES = np.random.default_rng(3).uniform(-1, 1, (2, 30, 16)).astype(np.float32)


def small(scheme: Scheme = FLOAT, ranks: tuple[int, ...] = ()) -> MaskNet:
    sizes = Model(bands=16, lstm_units=(12, 8), dense_units=10, lstm_ranks=ranks)
    return MaskNet(sizes, scheme, relu_maximum=2.0, seed=4)


def test_the_default_network_is_the_papers() -> None:
    assert sum(int(np.prod(w.shape)) for w in MaskNet().trainable_weights) == 968_960


@pytest.mark.parametrize("scheme", [FLOAT, INT8, INT16], ids=lambda s: s.name)
@pytest.mark.parametrize("ranks", [(), (6, 5), (0, 5)])
def test_sequence_and_one_hop_views_agree(scheme: Scheme, ranks: tuple[int, ...]) -> None:
    model = small(scheme, ranks)
    state, masks = model.zero_state(2), []
    for hop in np.moveaxis(FEATURES, 1, 0):
        mask, state = model.step(tf.constant(hop), state)
        masks.append(mask.numpy())
    np.testing.assert_allclose(np.stack(masks, 1), model(FEATURES).numpy(), atol=1e-5)


@pytest.mark.parametrize("scheme", [INT8, INT16], ids=lambda s: s.name)
def test_integer_schemes_only_produce_grid_values(scheme: Scheme) -> None:
    assert scheme.mask is not None
    mask = small(scheme)(FEATURES).numpy()
    steps = mask / scheme.mask.scale
    np.testing.assert_array_equal(steps, np.rint(steps))


@pytest.mark.parametrize("rank", [0, 6])
def test_the_gradient_is_that_of_automatic_differentiation(rank: int) -> None:
    layer = LSTM("lstm", 16, 12, FLOAT, seed=1, rank=rank)
    x = tf.constant(FEATURES)
    target = tf.constant(np.random.default_rng(0).normal(size=(2, 30, 12)).astype(np.float32))

    def unrolled() -> "tf.Tensor":
        h = c = tf.zeros([2, 12])
        outputs = []
        for t in range(x.shape[1]):
            h, c = layer.step(x[:, t], h, c)
            outputs.append(h)
        return tf.stack(outputs, axis=1)

    variables = layer.trainable_weights
    gradients = []
    for forward in (lambda: layer(x), unrolled):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(forward() * target)
        gradients.append(tape.gradient(loss, [*variables, x]))
    for ours, automatic in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours.numpy(), automatic.numpy(), rtol=2e-4, atol=2e-5)


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
    with pytest.raises(ValueError, match=r"'lstm1_gates/kernel' is \(28, 36\)"):
        MaskNet(Model(bands=16, lstm_units=(10, 8), dense_units=10)).set_arrays(arrays)
    del arrays["mask/bias"]
    with pytest.raises(ValueError, match="'mask/bias' is missing"):
        small().set_arrays(arrays)
