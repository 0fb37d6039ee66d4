"""Activations stored small for the backward pass."""

import numpy as np
import pytest
from training_data import FRONT_END, Noise

from pipeline.compression.method import Plan
from pipeline.compression.methods.stash_activations import StashActivations
from pipeline.keras import tf
from pipeline.networks.convnet import ConvNet
from pipeline.networks.trained import untrained
from pipeline.quantization import INT8
from pipeline.quantization.calibration import in_scheme
from pipeline.quantization.scheme import Grid
from pipeline.training.batches import Batch
from pipeline.training.model import SequenceModel
from pipeline.training.stash import BLOCK, Stash
from tests.small_networks import trained_looking

SIZES = ConvNet(network="convnet", bands=16, outer_channels=16, channels=16, blocks=2)
GRIDS = [Grid("int8", 1 / 128), Grid("int8", 1 / 32, -128), Grid("int8", 1 / 16, 5), None]


def on_grid(grid: Grid | None, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values if grid is None else grid.dequantize(grid.quantize(values))


def gradients(x: np.ndarray, w: np.ndarray, stash: Stash, grid: Grid | None) -> list[np.ndarray]:
    @tf.function
    def found(x: "tf.Tensor", w: "tf.Tensor") -> list["tf.Tensor"]:
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = stash.product(tf.matmul, x, w, grid)
            loss = tf.reduce_sum(tf.square(y))
        return [y, *tape.gradient(loss, [x, w])]

    return [value.numpy() for value in found(tf.constant(x), tf.constant(w))]


@pytest.mark.parametrize("grid", GRIDS)
def test_without_sparsity_nothing_changes(grid: Grid | None) -> None:
    x, w = on_grid(grid, (2, 11, 12)), on_grid(None, (12, 5), 1)
    y, dx, dw = gradients(x, w, Stash(), grid)
    np.testing.assert_allclose(y, x @ w, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, 2 * (x @ w) @ w.T, rtol=1e-4, atol=1e-4)
    expected = np.einsum("btc,bto->co", x, 2 * (x @ w))
    np.testing.assert_allclose(dw, expected, rtol=1e-4, atol=1e-4)


def test_blocks_of_the_largest_sums_make_the_gradient_of_weights() -> None:
    grid = GRIDS[0]
    x, w = on_grid(grid, (3, 8, 20)), on_grid(None, (20, 5), 1)
    x[1, :, :16] *= 0.0
    x[2, :, 8:16] = 1 / 128
    y, dx, dw = gradients(x, w, Stash(0.5), grid)
    np.testing.assert_allclose(y, x @ w, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, 2 * (x @ w) @ w.T, rtol=1e-4, atol=1e-4)
    # Nine blocks, the last of each row half empty; five are kept.
    blocks = [(row, begin) for row in range(3) for begin in (0, 8, 16)]
    sums = [np.abs(x[row, :, begin : begin + BLOCK]).sum() for row, begin in blocks]
    kept = np.zeros_like(x)
    for k in np.argsort(sums)[-5:]:
        row, begin = blocks[k]
        kept[row, :, begin : begin + BLOCK] = x[row, :, begin : begin + BLOCK]
    expected = np.einsum("btc,bto->co", kept, 2 * (x @ w))
    np.testing.assert_allclose(dw, expected, rtol=1e-4, atol=1e-4)


def network() -> SequenceModel:
    heard = np.random.default_rng(1).uniform(-1, 1, (2, 20, 16)).astype(np.float32)
    start = trained_looking(untrained(SIZES, FRONT_END, seed=3), seed=3)
    return in_scheme(start.folded(), INT8, heard).build()


def step(model: SequenceModel) -> tuple[np.ndarray, list[np.ndarray]]:
    heard = tf.constant(Batch.from_audio(*Noise().batch(0, 2), FRONT_END).features)

    @tf.function
    def found() -> tuple["tf.Tensor", list["tf.Tensor"]]:
        with tf.GradientTape() as tape:
            mask = model(heard, training=True)
            loss = tf.reduce_mean(tf.square(mask - 0.3))
        return mask, tape.gradient(loss, model.trainable_weights)

    mask, gradient = found()
    return mask.numpy(), [value.numpy() for value in gradient]


def test_a_network_trains_alike_with_integers_kept_and_the_same_way_with_half_of_them() -> None:
    mask, exact = step(network())
    for sparsity, least in ((0.0, 0.999999), (0.5, 0.5)):
        model = network()
        method = StashActivations(do="stash_activations", sparsity=sparsity)
        assert method.callbacks(model, Plan(steps=4, prune_end=2, every_steps=1)) == []
        stashed_mask, gradient = step(model)
        np.testing.assert_array_equal(stashed_mask, mask)
        for a, b in zip(exact, gradient, strict=True):
            if np.abs(a).max() > 1e-6:
                cosine = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
                assert cosine > least
                assert sparsity or np.allclose(a, b, rtol=1e-4, atol=1e-7)
