"""Products of activations, softmax, means, transposes and other grids, on random graphs."""

from pathlib import Path

import numpy as np
import pytest
from agreement_of_views import assert_all_agree, features, in_integers

from pipeline.compression.structures import UnitStructure
from pipeline.errors import InputError
from pipeline.keras import tf
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.graph import HopGraph, Net, Node
from pipeline.networks.groups import groups, keep_units, remove_masked_units
from pipeline.networks.trained import Trained
from pipeline.quantization import INT8, INT16, Grid
from pipeline.quantization.calibration import in_scheme
from pipeline.quantization.softmax import softmax_on_grid
from pipeline.runners import stream
from pipeline.runners.tflite import TfliteRunner
from tests.small_networks import front_end

TOKENS = 8


def random_graph(random: np.random.Generator) -> HopGraph:
    """Attention over 8 tokens of 4 bands in one of its forms, then three of other operators."""
    net = Net()
    x = net.input("features", (32,), "hidden")
    x = net.reshape("tokens", x, TOKENS, 4)
    x = net.conv("encoder", x, 8, 3, relu=bool(random.integers(2)))
    heads, width = int(random.choice([1, 2, 4])), int(random.choice([8, 16]))
    q, k, v = (_heads(net, name, x, heads, width, random) for name in "qkv")
    if random.integers(2):
        scores = net.matmul("products", q, k, "scores", transposed=True)
        found = net.matmul("attended", net.softmax("shares", scores), v)
    else:
        axes = (1, 0) if heads == 1 else (0, 2, 1)
        across = net.transpose("across", k, *axes)
        scores = net.matmul("products", net.transpose("turned", q, *axes), k, "scores")
        shares = net.softmax("shares", net.requantize("again", scores, "scores"))
        found = net.matmul("attended", v, shares if random.integers(2) else across)
        found = found if found.shape == v.shape else net.matmul("twice", found, k)
    x = net.add("residual", x, net.product("back", _joined(net, found, width), 8, "back"))
    for step in range(3):
        match random.integers(5):
            case 0:
                x = net.requantize(f"grid{step}", x)
            case 3:
                hops = int(random.choice([1, 2]))
                past = net.delay(x, *(2 * hop for hop in range(hops, 0, -1)))
                read = net.concat(f"read{step}", past, x)
                kernel = int(random.choice([1, 3]))
                x = net.depthwise(f"over_time{step}", read, kernel, taps=hops + 1)
            case 4:
                sums = net.product(f"gate_input{step}", net.mean(f"mean{step}", x), 8, "gate_input")
                gate = net.sigmoid(f"gate{step}", sums, "gate")
                if random.integers(2):
                    x = net.mul(f"gated{step}", x, gate, f"gated{step}")
                else:
                    x = net.add(f"moved{step}", x, net.reshape(f"row{step}", gate, 1, 8))
            case 1:
                turned = net.transpose(f"turned{step}", x, 1, 0)
                mixed = net.product(f"mixed{step}", turned, TOKENS, f"mixed{step}")
                x = net.transpose(f"upright{step}", mixed, 1, 0)
            case _:
                mean = net.mean(f"mean{step}", x)
                mean = net.product(f"spread{step}", mean, TOKENS * 8, f"spread{step}")
                x = net.sub(f"moved{step}", x, net.reshape(f"of{step}", mean, TOKENS, 8))
    x = net.reshape("flat", x, TOKENS * 8)
    return net.build(net.sigmoid("mask", net.product("out", x, 32, "mask_input"), "mask"))


def _heads(
    net: Net, name: str, x: Node, heads: int, width: int, random: np.random.Generator
) -> Node:
    y = net.product(name, x, width, name, relu=bool(random.integers(4) == 0))
    if heads == 1:
        return y
    y = net.reshape(f"{name}_heads", y, TOKENS, heads, width // heads)
    return net.transpose(f"{name}_by_head", y, 1, 0, 2)


def _joined(net: Net, x: Node, width: int) -> Node:
    if len(x.shape) == 2:
        return x
    return net.reshape("joined", net.transpose("by_token", x, 1, 0, 2), TOKENS, width)


def random_network(seed: int) -> Trained:
    random = np.random.default_rng(seed)
    graph, arrays = random_graph(random), {}
    for matrix, (rows, columns) in graph.matrices().items():
        kernel = random.normal(scale=2 / np.sqrt(rows), size=(rows, columns))
        arrays[f"{matrix}/kernel"] = kernel.astype(np.float32)
        arrays[f"{matrix}/bias"] = random.normal(scale=0.3, size=columns).astype(np.float32)
        arrays[f"{matrix}/mask"] = np.ones((rows, columns), np.float32)
    return in_integers(Trained(graph, front_end(32), arrays), seed)


@pytest.mark.parametrize("seed", range(10))
def test_random_graphs_compute_the_same_bytes_everywhere(seed: int, tmp_path: Path) -> None:
    trained = random_network(seed)
    assert HopGraph.from_json(trained.graph.to_json()) == trained.graph
    assert_all_agree(trained, tmp_path, seed)


def masks_of(trained: Trained, seed: int) -> np.ndarray:
    return stream(TfliteRunner(to_tflite(trained, "net")), features(seed)[0])


@pytest.mark.parametrize("seed", range(6))
def test_masked_units_are_removed_and_nothing_changes(seed: int) -> None:
    trained = random_network(seed)
    random = np.random.default_rng(seed)
    families = groups(trained.graph)
    counts = {g.heads: int(random.integers(1, g.units + 1)) for g in families}
    keep = {g.name: random.permutation(g.units) < counts[g.heads] for g in families}
    structure = UnitStructure(trained.graph.matrices(), families)
    for name, mask in structure.masks(keep).items():
        trained.arrays[f"{name}/mask"] = mask
    smaller = remove_masked_units(trained)
    kept = {group.name: group.units for group in groups(smaller.graph)}
    assert kept == {g.name: counts[g.heads] for g in families}
    heard = features(seed)
    np.testing.assert_array_equal(smaller.build()(heard), trained.build()(heard))
    np.testing.assert_array_equal(masks_of(smaller, seed), masks_of(trained, seed))
    order = {group.name: random.permutation(group.units) for group in groups(smaller.graph)}
    permuted = keep_units(smaller, order)
    np.testing.assert_array_equal(masks_of(permuted, seed), masks_of(trained, seed))


@pytest.mark.parametrize("exponent", range(-7, 0))
def test_integer_softmax_is_near_the_real_one_and_has_its_gradient(exponent: int) -> None:
    given, grid = Grid("int8", 2.0**exponent), INT8.grids["attention"]
    random = np.random.default_rng(exponent + 8)
    scores = tf.constant(given.dequantize(random.integers(-128, 128, (40, 16))))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        shares, real = softmax_on_grid(scores, given, grid), tf.nn.softmax(scores)
        losses = [tf.reduce_sum(tf.square(x - 0.1)) for x in (shares, real)]
    # Half a step, the largest value a step below 1, and what the kernel loses on the way.
    np.testing.assert_allclose(shares, real, atol=1.6 * grid.scale)
    slopes = [tape.gradient(loss, scores).numpy() for loss in losses]
    np.testing.assert_allclose(*slopes, atol=0.02)


def test_sixteen_bits_are_refused_by_name() -> None:
    trained = random_network(0)
    with pytest.raises(InputError, match="'products': matmul is exact in int8 alone"):
        in_scheme(trained, INT16, features(0))
