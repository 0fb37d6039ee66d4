"""Integer models that are no enhancers."""

from __future__ import annotations

import numpy as np

from pipeline.lowering.flatbuffer import Graph


def classifier() -> bytes:
    """One dense layer: "sound" int8 [1, 40] -> "scores" int8 [1, 12]."""
    graph, rng = Graph("classifier"), np.random.default_rng(3)
    sound = graph.input("sound", (1, 40), "int8", 1 / 128)
    weights = graph.constant("w", rng.integers(-127, 128, (12, 40)).astype(np.int8), 0.01)
    bias = graph.constant("b", np.zeros(12, np.int32), 0.01 / 128)
    total = graph.fully_connected(sound, weights, bias, name="total", scale=1 / 32)
    graph.output(graph.logistic(total, name="scores"))
    return graph.to_bytes()


def accumulator() -> bytes:
    """Two inputs, two outputs and a state: "a" int8, "b" int8 [1, 16]; "sum" int8 is kept."""
    graph = Graph("accumulator")
    scale = 1 / 16
    a, b, kept = (graph.input(name, (1, 16), "int8", scale) for name in ("a", "b", "sum"))
    both = graph.output(graph.add(a, b, name="both", scale=scale))
    following = graph.output(graph.add(both, kept, name="sum_next", scale=scale))
    graph.output(graph.mul(following, a, name="product", scale=scale))
    return graph.to_bytes()
