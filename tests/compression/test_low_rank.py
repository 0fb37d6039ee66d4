"""Low-rank pairs: close to the network they replace, and refused where they make no sense."""

import numpy as np
import pytest

from pipeline.compression.low_rank import with_low_rank
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.quantization import FLOAT
from tests.small_networks import network as small

SIZES = TinyLSTMs(bands=16, lstm_units=(24, 16), dense_units=8)
LAYERS = (("lstm1", 16, 24), ("lstm2", 24, 16))


def network(inner_rank: int) -> Trained:
    """A float network whose recurrent kernels are products through ``inner_rank`` values."""
    trained = small(SIZES, FLOAT)
    random = np.random.default_rng(1)
    for layer, inputs, units in LAYERS:
        rows = inputs + units
        into = random.normal(size=(rows, inner_rank)) * np.geomspace(1, 0.05, inner_rank)
        for part, columns in (("gates", 3 * units), ("candidate", units)):
            kernel = into @ random.normal(size=(inner_rank, columns)) / np.sqrt(rows)
            bias = random.normal(scale=0.5, size=columns)
            trained.arrays[f"{layer}_{part}/kernel"] = kernel.astype(np.float32)
            trained.arrays[f"{layer}_{part}/bias"] = bias.astype(np.float32)
    return trained


def features(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.4, size=(8, 60, 16)).astype(np.float32)


def test_a_kernel_of_low_rank_is_replaced_without_loss() -> None:
    weights = network(inner_rank=6)
    pair = with_low_rank(weights, 6, features(2))
    assert [pair.graph[f"lstm{k}_reduced"].channels for k in (1, 2)] == [6, 6]
    assert pair.arrays["lstm1_basis/kernel"].shape == (16 + 24, 6)
    assert pair.arrays["lstm1_gates/kernel"].shape == (6, 3 * 24)
    unseen = features(3)
    np.testing.assert_allclose(pair.build()(unseen), weights.build()(unseen), atol=2e-5)


def test_masked_weights_stay_out_of_the_pair() -> None:
    weights = network(inner_rank=6)
    weights.arrays["lstm1_gates/mask"] = np.zeros_like(weights.arrays["lstm1_gates/mask"])
    gates = with_low_rank(weights, 6, features(2)).arrays["lstm1_gates/kernel"]
    np.testing.assert_allclose(gates, 0, atol=1e-5)


def test_it_loses_less_of_the_sums_than_a_truncated_kernel() -> None:
    weights, rank = network(inner_rank=40), 8
    read = features(2)
    hidden = weights.build().observe(read, ["h1_next"])["h1_next"].numpy()
    before = np.concatenate([np.zeros_like(hidden[:, :1]), hidden[:, :-1]], axis=1)
    values = np.concatenate([read, before], axis=2).reshape(-1, 16 + 24)
    parts = ("lstm1_gates", "lstm1_candidate")
    kernel = np.concatenate([weights.arrays[f"{part}/kernel"] for part in parts], axis=1)
    sums = values @ kernel
    left, scales, right = np.linalg.svd(kernel)
    truncated = values @ (left[:, :rank] * scales[:rank]) @ right[:rank]
    arrays = with_low_rank(weights, rank, read).arrays
    reduced = values @ arrays["lstm1_basis/kernel"] + arrays["lstm1_basis/bias"]
    np.testing.assert_allclose(reduced.std(axis=0), 1, rtol=1e-2)
    made = np.concatenate([arrays["lstm1_gates/kernel"], arrays["lstm1_candidate/kernel"]], axis=1)
    offset = np.concatenate([arrays["lstm1_gates/bias"], arrays["lstm1_candidate/bias"]])
    bias = np.concatenate([weights.arrays[f"{part}/bias"] for part in parts])
    error = np.square(reduced @ made + offset - (sums + bias)).mean()
    assert error < 0.9 * np.square(truncated - sums).mean()


def test_a_pair_that_saves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 40 makes lstm1_gates, .* 40 values, no smaller"):
        with_low_rank(network(6), 40, features(0))


def test_a_pair_is_not_factored_again() -> None:
    pair = with_low_rank(network(6), 6, features(0))
    with pytest.raises(ValueError, match="lstm1_basis is a low-rank pair already"):
        with_low_rank(pair, 4, features(0))
