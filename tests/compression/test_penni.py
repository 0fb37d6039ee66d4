"""Convolutions over frames as shared kernels and coefficients: one function, the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.compression.kernel_bases import KernelBases, Order, decomposed, with_bases
from pipeline.compression.methods.penni import Penni
from pipeline.compression.methods.prune import Prune
from pipeline.compression.shrink import shrink
from pipeline.errors import InputError
from pipeline.keras import tf
from pipeline.networks.convnet import ConvNet
from pipeline.networks.rewrites import factored
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained, untrained
from pipeline.quantization import FLOAT
from tests.compression.few_steps import trained_with
from tests.networks.agreement_of_views import assert_all_agree, features, in_integers
from tests.small_networks import front_end, trained_looking

CONVNET = ConvNet(network="convnet", bands=32, outer_channels=8, channels=16, blocks=1)
ORDERS: tuple[Order, ...] = ("bases_first", "coefficients_first")


def start(seed: int, settings: ConvNet = CONVNET) -> Trained:
    return in_integers(trained_looking(untrained(settings, front_end(32), seed), seed), seed)


@pytest.mark.parametrize("order", ORDERS)
def test_all_bases_are_the_same_function(order: Order) -> None:
    before = start(1)
    after = with_bases(before, 9, order, features(1))
    expected = before.build(FLOAT)(features(1)).numpy()
    np.testing.assert_allclose(after.build(FLOAT)(features(1)).numpy(), expected, atol=1e-4)
    for layer in factored(after.graph):
        between = after.build(FLOAT).observe(features(1), layer.between)
        for values in between.values():
            reach = np.abs(values.numpy()).max(axis=tuple(range(values.shape.rank - 1)))
            each = reach if order == "bases_first" else reach.max()
            np.testing.assert_allclose(each, 0.9, rtol=1e-3)


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_deployed_is_what_was_trained(order: Order, tmp_path: Path) -> None:
    method = Penni(do="penni", bases=3, order=order, turn_steps=1)
    trained, mask = trained_with([method], start(2), 2)
    np.testing.assert_array_equal(trained.build()(features(2)).numpy(), mask)
    (layer,) = factored(trained.graph)
    for name in layer.bases if order == "coefficients_first" else ():
        kernel = trained.arrays[f"{name}/kernel"]
        np.testing.assert_array_equal(kernel, np.repeat(kernel[:, :1], kernel.shape[1], axis=1))
    masks = [trained.arrays[f"{name}/mask"] for name in layer.coefficients]
    left = np.concatenate([m.ravel() for m in masks])
    assert 0.2 < left.mean() < 0.5
    assert_all_agree(trained, tmp_path, 2)


def test_channels_of_a_factored_convolution_can_be_removed() -> None:
    prune = Prune(do="prune", structure="unit", sparsity=0.4)
    before = start(6)
    trained, mask = trained_with([Penni(do="penni", bases=3, deviations=0), prune], before, 6)
    assert trained.graph["block1_conv_turned"].shape == (4, 8, 3)
    np.testing.assert_array_equal(trained.build()(features(6)).numpy(), mask)


def test_fewer_bases_are_the_best_of_their_number() -> None:
    random = np.random.default_rng(3)
    kernel = random.normal(size=(9 * 4, 5)).astype(np.float32)
    shared, coefficients = decomposed(kernel, 9, 2)
    again = np.einsum("mt,mio->tio", shared, np.stack(coefficients)).reshape(kernel.shape)
    lost = np.linalg.svd(kernel.reshape(9, -1), compute_uv=False)[2:]
    assert np.square(kernel - again).sum() == pytest.approx(np.square(lost).sum(), rel=1e-4)
    # A dense order of taps: band before frame, as a convolution reads them.
    one = np.zeros((9, 4, 5), np.float32)
    one[4] = 1
    shared, _ = decomposed(one.reshape(36, 5), 9, 1)
    np.testing.assert_allclose(np.abs(shared[0]), np.eye(9)[4], atol=1e-6)


def test_bases_and_coefficients_take_turns() -> None:
    model = with_bases(start(4), 2, "bases_first", features(4)).build()
    callback = KernelBases(model, 0.0, 0.0, turn_steps=2, end_step=6, every_steps=1)
    (layer,) = factored(model.graph)
    kernels = {m.name: m.kernel for m in model.matrices}
    moved = []
    for step in (0, 2, 4, 6):
        callback.before_step(step)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(features(4)))
        wanted = [kernels[name] for name in (layer.bases[0], layer.coefficients[0])]
        moved.append([bool(np.any(g.numpy())) for g in tape.gradient(loss, wanted)])
    assert moved == [[False, True], [True, False], [False, True], [True, True]]


def test_units_without_a_reader_or_a_maker_go_with_all_they_alone_need() -> None:
    model = start(5).build()
    by_name = {matrix.name: matrix for matrix in model.matrices}

    def masked(name: str, rows: slice, columns: slice) -> None:
        mask = by_name[name].mask.numpy()
        mask[rows, columns] = 0
        by_name[name].mask.assign(mask)

    # One of two makers that are added is not enough.
    masked("encoder2", slice(None), slice(0, 1))
    # All that read what encoder2 and block1 add to channel 3, at each place of their kernels.
    for name, places in (("block1_conv", 9), ("decoder2", 3)):
        for place in range(places):
            masked(name, slice(16 * place + 3, 16 * place + 4), slice(None))
    shrink(model)
    kept = by_name["encoder2"].mask.numpy().any(axis=0)
    np.testing.assert_array_equal(np.flatnonzero(~kept), [0, 3])
    assert by_name["block1_conv"].mask.numpy()[:, 0].all(where=np.arange(144) % 16 != 3)
    assert not by_name["block1_conv"].mask.numpy()[:, 3].any()


def test_what_cannot_be_factored_is_said() -> None:
    method = Penni(do="penni", bases=2)
    method.check(CONVNET.define(), [])
    with pytest.raises(InputError, match="the network has none"):
        method.check(TinyLSTMs().define(), [])
    with pytest.raises(InputError, match="bases = 9 are not fewer than the 9 taps of 'block1_conv"):
        Penni(do="penni", bases=9).check(CONVNET.define(), [])
    long = CONVNET.model_copy(update={"taps": 4})
    method.check(long.define(), [])
    with pytest.raises(InputError, match="'block1_conv' reads 4 hops, more than the 3"):
        Penni(do="penni", bases=2, order="coefficients_first").check(long.define(), [])
    with pytest.raises(InputError, match="factored already"):
        method.check(CONVNET.define(), [method])
