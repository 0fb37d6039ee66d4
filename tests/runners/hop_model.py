"""A small recurrent one-hop model, h' = tanh(W [x, h] + b), and its numpy twin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.lowering.flatbuffer import Graph

FEATURES, UNITS = 16, 32
# The recurrence contracts, so that one step of rounding difference dies out instead of growing, and
# the scales are as crooked as trained ones, so that nothing falls on a rounding tie.
_INPUT_SCALE, _WEIGHT_SCALE, _SUM_SCALE = 1 / 128, float(np.float32(0.00091337)), 1 / 128


def _parameters() -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    rng = np.random.default_rng(11)
    weights = rng.integers(-127, 128, (UNITS, FEATURES + UNITS)).astype(np.int8)
    return weights, rng.integers(-9000, 9000, UNITS).astype(np.int32)


def hop_model(features: str = "features", state: str = "h", next_state: str = "h_next") -> bytes:
    weights, bias = _parameters()
    graph = Graph("hop")
    x = graph.input(features, (1, FEATURES), "int8", _INPUT_SCALE)
    h = graph.input(state, (1, UNITS), "int8", _INPUT_SCALE)
    xh = graph.concatenation([x, h], name="xh")
    w = graph.constant("w", weights, _WEIGHT_SCALE)
    b = graph.constant("b", bias, x.scale * w.scale)
    summed = graph.fully_connected(xh, w, b, name="sum", scale=_SUM_SCALE)
    h_next = graph.output(graph.tanh(summed, name=next_state))
    graph.output(graph.logistic(h_next, name="mask"))
    return graph.to_bytes()


def expected_masks(features: NDArray[np.int8]) -> NDArray[np.int8]:
    """[T, F] stored features to [T, UNITS] stored masks, in plain arithmetic."""
    weights, bias = _parameters()
    h = np.zeros(UNITS, np.int64)
    masks = []
    for x in features.astype(np.int64):
        total = weights.astype(np.int64) @ np.concatenate([x, h]) + bias
        summed = np.clip(np.rint(total * (_INPUT_SCALE * _WEIGHT_SCALE / _SUM_SCALE)), -128, 127)
        h = np.clip(np.rint(np.tanh(summed * _SUM_SCALE) * 128), -128, 127).astype(np.int64)
        masks.append(np.rint(256 / (1 + np.exp(-h / 128))) - 128)
    return np.clip(masks, -128, 127).astype(np.int8)
