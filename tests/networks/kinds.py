"""A small network of each kind, as its definition would write it."""

from collections.abc import Callable

import numpy as np

from pipeline.networks.convnet import over_time
from pipeline.networks.graph import HopGraph, Net, Node
from pipeline.networks.heads import attend
from pipeline.networks.tinylstms import lstm_cell
from pipeline.networks.trained import Trained
from tests.small_networks import front_end

BANDS, UNITS, TOKENS = 32, 16, 8


def lstm() -> HopGraph:
    net = Net()
    x = net.input("features", (BANDS,), "hidden")
    h, c = net.state("h", (UNITS,), "hidden"), net.state("c", (UNITS,), "cell")
    return _mask(net, lstm_cell(net, "lstm", x, h, c))


def gru() -> HopGraph:
    """z, r = sigmoid([x, h] W); n = tanh([x, r h] V); h' = h + z (n - h) (Cho et al., 2014)."""
    net = Net()
    x, h = net.input("features", (BANDS,), "hidden"), net.state("h", (UNITS,), "hidden")
    sums = net.product("gate_input", net.concat("xh", x, h), 2 * UNITS, "gate_input", "zr")
    z, r = net.split(["z", "r"], net.sigmoid("gate", sums, "gate"))
    read = net.concat("xrh", x, net.mul("rh", r, h, "hidden"))
    n = net.tanh("n", net.product("n_input", read, UNITS, "candidate_input", "n"), "candidate")
    move = net.mul("move", z, net.sub("difference", n, h), "move")
    h_next = net.add("h_next", h, move, "hidden")
    net.next(h, h_next)
    return _mask(net, h_next)


def convolutional() -> HopGraph:
    net = Net()
    x = net.reshape("bands", net.input("features", (BANDS,), "hidden"), TOKENS, BANDS // TOKENS)
    x = net.conv("encoder", x, UNITS, 3, relu=True)
    x = over_time(net, "block", x, taps=3, dilation=2)
    return _mask(net, net.conv("decoder", x, BANDS // TOKENS, 3, relu=True))


def attention() -> HopGraph:
    net = Net()
    x = net.reshape("bands", net.input("features", (BANDS,), "hidden"), TOKENS, BANDS // TOKENS)
    x = net.conv("encoder", x, UNITS, 3, relu=True)
    q, k, v = (net.product(name, x, 2 * UNITS, name) for name in "qkv")
    back = net.product("back", attend(net, "attention", q, k, v, heads=2), UNITS, "back")
    return _mask(net, net.conv("decoder", net.add("sum", x, back), BANDS // TOKENS, 3, relu=True))


def _mask(net: Net, x: Node) -> HopGraph:
    if len(x.shape) == 2:
        x = net.reshape("flat", x, x.shape[0] * x.shape[1])
    return net.build(net.sigmoid("mask", net.product("out", x, BANDS, "mask_input"), "mask"))


KINDS: dict[str, Callable[[], HopGraph]] = {
    "lstm": lstm, "gru": gru, "convolutional": convolutional, "attention": attention,
}  # fmt: skip


def network(graph: HopGraph, seed: int) -> Trained:
    """With random weights and biases, in floating point, without batch normalization."""
    graph, random, arrays = graph.folded(), np.random.default_rng(seed), {}
    for matrix, shape in graph.matrices().items():
        kernel = random.normal(scale=1.5 / np.sqrt(shape[0]), size=shape)
        arrays[f"{matrix}/kernel"] = kernel.astype(np.float32)
        arrays[f"{matrix}/bias"] = random.normal(scale=0.3, size=shape[1]).astype(np.float32)
        arrays[f"{matrix}/mask"] = np.ones(shape, np.float32)
    return Trained(graph, front_end(graph.features.channels), arrays)
