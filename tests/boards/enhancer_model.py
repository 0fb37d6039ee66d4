"""Stand-ins for the enhancer: one recurrent layer, random weights."""

from __future__ import annotations

import numpy as np

from pipeline.lowering.flatbuffer import Graph, Tensor

BANDS = 128
_WEIGHT_SCALE = 0.004
_INT16_SCALE, _CELL_SCALE = 1 / 32768, 8 / 32768


class _Builder:
    def __init__(self, units: int, dtype: str) -> None:
        self.rng = np.random.default_rng(5)
        self.graph = Graph("enhancer")
        self.units = units
        self.dtype = dtype
        self.is_wide = dtype == "int16"
        self.sum_scale = _CELL_SCALE if self.is_wide else 1 / 32

    def dense(self, y: Tensor, outputs: int, name: str) -> Tensor:
        weights = self.rng.integers(-127, 128, (outputs, y.shape[1])).astype(np.int8)
        w = self.graph.constant(f"{name}/w", weights, _WEIGHT_SCALE)
        bias = np.rint(self.rng.uniform(-0.5, 0.5, outputs) / (y.scale * w.scale))
        bias_dtype = np.int64 if self.is_wide else np.int32
        b = self.graph.constant(f"{name}/b", bias.astype(bias_dtype), y.scale * w.scale)
        return self.graph.fully_connected(y, w, b, name=name, scale=self.sum_scale)

    def widened(self, y: Tensor) -> Tensor:
        if self.is_wide:
            return y
        return self.graph.quantize(y, name="wide", dtype="int16", scale=self.sum_scale / 256)

    def narrowed(self, y: Tensor, name: str) -> Tensor:
        return self.graph.quantize(y, name=name, dtype="int8", scale=1 / 128)

    def build(self) -> bytes:
        graph, units = self.graph, self.units
        scale = _INT16_SCALE if self.is_wide else 1 / 128
        x = graph.input("features", (1, BANDS), self.dtype, scale)
        h = graph.input("h", (1, units), self.dtype, scale)
        c = graph.input("c", (1, units), "int16", _CELL_SCALE)
        joined = graph.concatenation([x, h], name="xh")
        gates = self.widened(self.dense(joined, 4 * units, "gates"))
        ifo = graph.logistic(graph.slice(gates, 0, 3 * units, name="ifo"), name="ifo/logistic")
        g = graph.tanh(graph.slice(gates, 3 * units, 4 * units, name="g"), name="g/tanh")
        i, f, o = graph.split(ifo, names=("i", "f", "o"))
        kept = graph.mul(f, c, name="kept", scale=_CELL_SCALE)
        added = graph.mul(i, g, name="added", scale=_CELL_SCALE)
        c_next = graph.output(graph.add(kept, added, name="c_next", scale=_CELL_SCALE))
        cell = graph.tanh(c_next, name="c/tanh")
        if self.is_wide:
            h_next = graph.mul(o, cell, name="h_next", scale=_INT16_SCALE)
        else:
            shown = graph.mul(o, cell, name="shown", scale=_INT16_SCALE)
            h_next = self.narrowed(shown, "h_next")
        graph.output(h_next)
        graph.output(graph.logistic(self.dense(h_next, BANDS, "mask/sum"), name="mask"))
        return graph.to_bytes()


def enhancer_model(units: int = 64, dtype: str = "int8") -> bytes:
    """Features, h and mask of `dtype`, cell state int16: features, h, c -> c_next, h_next, mask."""
    return _Builder(units, dtype).build()


def delaying_model() -> bytes:
    """A convolution over time: features of 2 and 1 hops ago, and a hidden frame of 3 hops ago."""
    builder = _Builder(32, "int8")
    graph, scale = builder.graph, 1 / 128
    x = graph.input("features", (1, BANDS), "int8", scale)
    past = graph.input("features_ago2_1", (1, 2 * BANDS), "int8", scale)
    sums = builder.dense(graph.concatenation([past, x], name="window"), 32, "hidden/sum")
    hidden = graph.logistic(sums, name="hidden")
    graph.output(hidden)
    before = graph.input("hidden_ago3", (1, 32), "int8", hidden.scale, hidden.zero_point)
    both = graph.concatenation([before, hidden], name="both")
    graph.output(graph.logistic(builder.dense(both, BANDS, "mask/sum"), name="mask"))
    return graph.to_bytes()
