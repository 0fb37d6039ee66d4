"""A full-size stand-in for the enhancer: one recurrent layer, random weights, int16 cell state."""

from __future__ import annotations

import numpy as np

from pipeline.lowering.flatbuffer import Graph, Tensor

BANDS = 128
_STATE_SCALE, _WEIGHT_SCALE, _SUM_SCALE, _CELL_SCALE = 1 / 128, 0.004, 1 / 32, 1 / 2048
_INT16_SCALE = 1 / 32768


def enhancer_model(units: int = 64, seed: int = 5) -> bytes:
    """Inputs features int8 [1, 128], h int8, c int16 [1, units]; outputs mask, h_next, c_next."""
    rng = np.random.default_rng(seed)
    graph = Graph("enhancer")
    x = graph.input("features", (1, BANDS), "int8", _STATE_SCALE)
    h = graph.input("h", (1, units), "int8", _STATE_SCALE)
    c = graph.input("c", (1, units), "int16", _CELL_SCALE)

    def dense(y: Tensor, outputs: int, name: str) -> Tensor:
        weights = rng.integers(-127, 128, (outputs, y.shape[1])).astype(np.int8)
        w = graph.constant(f"{name}/w", weights, _WEIGHT_SCALE)
        bias = rng.integers(-3000, 3000, outputs).astype(np.int32)
        b = graph.constant(f"{name}/b", bias, y.scale * w.scale)
        return graph.fully_connected(y, w, b, name=name, scale=_SUM_SCALE)

    gates = dense(graph.concatenation([x, h], name="xh"), 4 * units, "gates")
    wide = graph.quantize(gates, name="wide", dtype="int16", scale=_SUM_SCALE / 256)
    ifo = graph.logistic(graph.slice(wide, 0, 3 * units, name="ifo"), name="ifo/logistic")
    g = graph.tanh(graph.slice(wide, 3 * units, 4 * units, name="g"), name="g/tanh")
    i, f, o = graph.split(ifo, names=("i", "f", "o"))
    kept = graph.mul(f, c, name="kept", scale=_CELL_SCALE)
    added = graph.mul(i, g, name="added", scale=_INT16_SCALE)
    c_next = graph.output(graph.add(kept, added, name="c_next", scale=_CELL_SCALE))
    shown = graph.mul(o, graph.tanh(c_next, name="c/tanh"), name="shown", scale=_INT16_SCALE)
    h_next = graph.quantize(shown, name="h_next", dtype="int8", scale=_STATE_SCALE)
    graph.output(h_next)
    graph.output(graph.logistic(dense(h_next, BANDS, "mask/sum"), name="mask"))
    return graph.to_bytes()
