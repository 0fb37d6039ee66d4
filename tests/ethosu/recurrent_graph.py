"""A streaming recurrent enhancer with explicit state, random weights, int16 cell state."""

from __future__ import annotations

import numpy as np
from tflite_builder import GraphBuilder

FEATURES = 128
_STATE_SCALE, _SUM_SCALE, _CELL_SCALE, _UNIT_SCALE = 1 / 128, 1 / 32, 1 / 2048, 1 / 32768
_WEIGHT_SCALE = 0.0031


class RecurrentGraph:
    """Builds LSTM layers and two dense layers out of operators the NPU has."""

    def __init__(self, units: int, layers: int, seed: int = 0) -> None:
        self._graph = GraphBuilder()
        self._rng = np.random.default_rng(seed)
        self._inputs = [self._graph.tensor((1, FEATURES), "int8", _STATE_SCALE)]
        self._outputs: list[int] = []
        self.feedback: dict[str, str] = {}
        x, width = self._inputs[0], FEATURES
        for _ in range(layers):
            x, width = self._lstm(x, width, units), units
        x = self._dense(x, width, FEATURES)
        mask = self._graph.tensor((1, FEATURES), "int8", 1 / 256, -128)
        self._graph.operator("LOGISTIC", [self._dense(x, FEATURES, FEATURES)], [mask])
        self._outputs.append(mask)

    def build(self) -> bytes:
        return self._graph.build(self._inputs, self._outputs)

    def _dense(self, x: int, width: int, units: int) -> int:
        graph, rng = self._graph, self._rng
        weights = np.clip(np.rint(rng.normal(0, 30, (units, width))), -127, 127)
        w = graph.tensor((units, width), "int8", _WEIGHT_SCALE, 0, weights)
        bias = rng.integers(-3000, 3000, units)
        b = graph.tensor((units,), "int32", graph.scale_of(x) * _WEIGHT_SCALE, 0, bias)
        y = graph.tensor((1, units), "int8", _SUM_SCALE)
        graph.operator("FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions")
        return y

    def _new(self, units: int, dtype: str, scale: float) -> int:
        return self._graph.tensor((1, units), dtype, scale)

    def _slice(self, x: int, begin: int, end: int) -> int:
        graph = self._graph
        y = self._new(end - begin, "int16", graph.scale_of(x))
        bounds = [graph.tensor((2,), "int32", data=np.array(v)) for v in ([0, begin], [1, end])]
        steps = graph.tensor((2,), "int32", data=np.array([1, 1]))
        graph.operator("STRIDED_SLICE", [x, *bounds, steps], [y], "StridedSliceOptions")
        return y

    def _unary(self, name: str, x: int, units: int) -> int:
        y = self._new(units, "int16", _UNIT_SCALE)
        self._graph.operator(name, [x], [y])
        return y

    def _binary(self, name: str, a: int, b: int, units: int, scale: float) -> int:
        y = self._new(units, "int16", scale)
        self._graph.operator(name, [a, b], [y], f"{name.capitalize()}Options")
        return y

    def _lstm(self, x: int, width: int, units: int) -> int:
        graph = self._graph
        h, c = self._new(units, "int8", _STATE_SCALE), self._new(units, "int16", _CELL_SCALE)
        self._inputs += [h, c]
        joined = self._new(width + units, "int8", graph.scale_of(x))
        graph.operator("CONCATENATION", [x, h], [joined], "ConcatenationOptions", axis=1)
        gates = self._dense(joined, width + units, 4 * units)
        wide = self._new(4 * units, "int16", _SUM_SCALE / 256)
        graph.operator("QUANTIZE", [gates], [wide], "QuantizeOptions")
        sigmoids = self._unary("LOGISTIC", self._slice(wide, 0, 3 * units), 3 * units)
        i, f, o = (self._slice(sigmoids, n * units, (n + 1) * units) for n in range(3))
        g = self._unary("TANH", self._slice(wide, 3 * units, 4 * units), units)
        kept = self._binary("MUL", f, c, units, _CELL_SCALE)
        added = self._binary("MUL", i, g, units, _UNIT_SCALE)
        c_next = self._binary("ADD", kept, added, units, _CELL_SCALE)
        shown = self._binary("MUL", o, self._unary("TANH", c_next, units), units, _UNIT_SCALE)
        h_next = self._new(units, "int8", _STATE_SCALE)
        graph.operator("QUANTIZE", [shown], [h_next], "QuantizeOptions")
        self._outputs += [h_next, c_next]
        self.feedback |= {f"t{h_next}": f"t{h}", f"t{c_next}": f"t{c}"}
        return h_next
