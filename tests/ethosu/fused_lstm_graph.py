"""One fused int8 UNIDIRECTIONAL_SEQUENCE_LSTM with int16 cell state, as TFLite converts it."""

from __future__ import annotations

import numpy as np
from graph_family import random_scale
from tflite_builder import GraphBuilder, schema

_ABSENT = -1
_CELL_SCALE = 2.0**-13
_GATES = 4


def fused_lstm(seed: int, steps: int, features: int, units: int) -> bytes:
    """`[1, steps, features]` to `[1, steps, units]`; the hidden state has an odd zero point."""
    rng = np.random.default_rng(seed)
    graph = GraphBuilder()
    x = graph.tensor((1, steps, features), "int8", random_scale(rng, 0.01, 0.05), -7)
    hidden_scale, hidden_zero = 1 / 128 * rng.uniform(0.6, 1.0), int(rng.integers(-40, 41)) | 1

    def weights(width: int) -> list[int]:
        values = [np.clip(rng.normal(0, 40, (units, width)), -127, 127) for _ in range(_GATES)]
        return [graph.tensor((units, width), "int8", 0.003, 0, np.rint(v)) for v in values]

    inputs, recurrent = weights(features), weights(units)
    bias_scale = graph.scale_of(x) * 0.003
    biases = [
        graph.tensor((units,), "int32", bias_scale, 0, rng.integers(-3000, 3000, units))
        for _ in range(_GATES)
    ]
    hidden = graph.tensor((1, units), "int8", hidden_scale, hidden_zero, is_variable=True)
    cell = graph.tensor((1, units), "int16", _CELL_SCALE, 0, is_variable=True)
    unused = [graph.tensor((0,), "float32") for _ in range(_GATES)]
    effective = graph.tensor((0,), "int8", hidden_scale, hidden_zero)
    y = graph.tensor((1, steps, units), "int8", hidden_scale, hidden_zero)
    graph.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        [x, *inputs, *recurrent, *[_ABSENT] * 3, *biases, *[_ABSENT] * 2, hidden, cell]
        + [_ABSENT] * 4,
        [y],
        "UnidirectionalSequenceLSTMOptions",
        intermediates=[*unused, effective],
        fusedActivationFunction=schema.ActivationFunctionType.TANH,
        cellClip=10.0,
    )
    return graph.build([x], [y])
