"""Convolution over bands and time computes the same integers in training, TFLite, Micro and NPU."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from agreement_of_views import assert_all_agree, features, in_integers

from pipeline.compression.structures import UnitStructure
from pipeline.keras import tf
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.convnet import ConvNet
from pipeline.networks.graph import HopGraph, Net
from pipeline.networks.groups import groups, keep_units, remove_masked_units
from pipeline.networks.trained import Trained, untrained
from pipeline.runners import stream
from pipeline.runners.tflite import TfliteRunner
from tests.small_networks import front_end, trained_looking

SETTINGS = ConvNet(
    network="convnet", bands=32, outer_channels=8, channels=16, blocks=2, dilations=(1, 2)
)


def convolutional(seed: int) -> Trained:
    return in_integers(trained_looking(untrained(SETTINGS, front_end(32), seed), seed), seed)


def random_graph(random: np.random.Generator) -> HopGraph:
    """Operators in a random order, over random shapes."""
    net = Net()
    x = net.input("features", (32,), "hidden")
    bands, channels = (int(n) for n in random.choice([(8, 4), (16, 2), (4, 8)]))
    x = net.reshape("start", x, bands, channels)
    for k in range(6):
        kernel = int(random.choice([1, 3, 5]))
        match random.integers(6):
            case 0:
                width = int(random.choice([4, 8, 12]))
                x = net.conv(f"conv{k}", x, width, kernel, relu=bool(random.integers(2)))
            case 1:
                x = net.depthwise(f"depthwise{k}", x, kernel, relu=bool(random.integers(2)))
            case 2:
                hops = sorted({int(h) for h in random.integers(1, 6, 2)}, reverse=True)
                read = net.concat(f"read{k}", net.delay(x, *hops), x)
                x = net.conv(f"over_time{k}", read, 8, kernel)
            case 3:
                y = net.conv(f"other{k}", x, x.channels, kernel)
                add = net.add if random.integers(2) else net.sub
                x = add(f"sum{k}", x, y)
            case 4 if x.shape[0] % 2 == 0:
                x = net.reshape(f"halved{k}", x, x.shape[0] // 2, 2 * x.channels)
            case _:
                y = net.product(f"gate_input{k}", x, x.channels, "gate_input", f"gate{k}")
                gate = net.sigmoid(f"gated{k}", y, "gate")
                x = net.mul(f"product{k}", x, gate, f"product{k}")
    x = net.reshape("flat", x, x.shape[0] * x.channels)
    x = net.product("mask_input", x, 32, "mask_input", "mask")
    return net.build(net.sigmoid("mask", x, "mask"))


def random_network(seed: int) -> Trained:
    random = np.random.default_rng(seed)
    graph, arrays = random_graph(random), {}
    for matrix, (rows, columns) in graph.matrices().items():
        kernel = random.normal(scale=1.5 / np.sqrt(rows), size=(rows, columns))
        arrays[f"{matrix}/kernel"] = kernel.astype(np.float32)
        arrays[f"{matrix}/bias"] = random.normal(scale=0.2, size=columns).astype(np.float32)
        arrays[f"{matrix}/mask"] = np.ones((rows, columns), np.float32)
    return in_integers(Trained(graph, front_end(32), arrays), seed)


def test_every_view_computes_the_same_bytes(tmp_path: Path) -> None:
    assert_all_agree(convolutional(1), tmp_path, 1)


@pytest.mark.parametrize("seed", range(8))
def test_random_graphs_compute_the_same_bytes_everywhere(seed: int, tmp_path: Path) -> None:
    assert_all_agree(random_network(seed), tmp_path, seed)


def masks_of(trained: Trained, seed: int) -> np.ndarray:
    return stream(TfliteRunner(to_tflite(trained, "net")), features(seed)[0])


@pytest.mark.parametrize("seed", [0, 1, 2, 5])
def test_masked_units_are_removed_and_nothing_changes(seed: int) -> None:
    trained = random_network(seed) if seed else convolutional(1)
    random = np.random.default_rng(seed)
    families = groups(trained.graph)
    assert families
    keep = {group.name: random.uniform(size=group.units) > 0.4 for group in families}
    for chosen in keep.values():
        chosen[random.integers(chosen.size)] = True
    structure = UnitStructure(trained.graph.matrices(), families)
    for name, mask in structure.masks(keep).items():
        trained.arrays[f"{name}/mask"] = mask
    smaller = remove_masked_units(trained)
    assert smaller.total("kernel") < trained.total("kernel")
    np.testing.assert_array_equal(masks_of(smaller, seed), masks_of(trained, seed))
    order = {group.name: random.permutation(group.units) for group in groups(smaller.graph)}
    permuted = keep_units(smaller, order)
    np.testing.assert_array_equal(masks_of(permuted, seed), masks_of(trained, seed))


def test_channels_that_are_added_stand_and_fall_together() -> None:
    by_name = {group.name: group for group in groups(SETTINGS.define())}
    blocks = by_name["encoder2"]
    assert {tie.matrix for tie in blocks.ties if tie.axis == 1} == {
        "encoder2", "block1_conv", "block2_conv",
    }  # fmt: skip
    read = next(t for t in blocks.ties if t.matrix == "block1_conv" and t.axis == 0)
    np.testing.assert_array_equal(read.unit, np.tile(np.arange(16), 9))


def test_batch_normalization_trains_and_folds(tmp_path: Path) -> None:
    trained = untrained(SETTINGS, front_end(32), seed=2)
    model = trained.build()
    heard = features(2)
    target = np.random.default_rng(2).uniform(0, 1, heard.shape).astype(np.float32)
    optimizer = tf.keras.optimizers.Adam(1e-2)

    @tf.function
    def step() -> "tf.Tensor":
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(heard, training=True) - target))
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        return loss

    losses = [float(step()) for _ in range(20)]
    assert losses[-1] < losses[0]
    after = dataclasses.replace(trained, arrays=model.get_arrays())
    assert not np.allclose(after.arrays["encoder1/mean"], 0)
    expected = model(heard).numpy()
    np.testing.assert_allclose(after.folded().build()(heard).numpy(), expected, atol=1e-4)
    after.save(tmp_path / "net.safetensors")
    loaded = Trained.load(tmp_path / "net.safetensors")
    np.testing.assert_allclose(loaded.build()(heard).numpy(), expected, atol=1e-4)
