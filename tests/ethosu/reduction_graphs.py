"""Graphs of reductions over axes."""

from __future__ import annotations

import numpy as np
from graph_family import (
    Ends,
    Rng,
    family,
    integer,
    random_feature_map,
    random_zero_point,
)
from tflite_builder import GraphBuilder, schema

_AXES = ((1, 2), (1,), (2,), (3,))


def _reduction(
    rng: Rng, graph: GraphBuilder, dtype: str, name: str,
    gain: tuple[float, float] | None = None, choices: tuple[tuple[int, ...], ...] = _AXES,
) -> Ends:  # fmt: skip
    """Over one of the `choices` of axes; `gain` bounds the ratio of the scales, None is 1."""
    x, shape = random_feature_map(rng, graph, dtype)
    axes = choices[integer(rng, 0, len(choices) - 1)]
    out = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    indices = graph.tensor((len(axes),), "int32", data=np.array(axes))
    scale, zero_point = graph.quantization_of(x)
    if gain is not None:
        scale, zero_point = scale * float(rng.uniform(*gain)), random_zero_point(rng, dtype)
    y = graph.tensor(out, dtype, scale, zero_point)
    graph.operator(name, [x, indices], [y], "ReducerOptions", keepDims=True)
    return [x], [y]


@family("int8", "int16")
def mean(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _reduction(rng, graph, dtype, "MEAN", (0.4, 1.2))


@family("int8", "int16")
def total(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    """Over one axis; test_generated_graphs.py says what Vela makes of two."""
    return _reduction(rng, graph, dtype, "SUM", (1.0, 8.0), _AXES[1:])


@family("int8", "int16")
def reduce_max(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _reduction(rng, graph, dtype, "REDUCE_MAX")


@family("int8", "int16")
def reduce_min(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _reduction(rng, graph, dtype, "REDUCE_MIN")


@family("int8")
def arg_max(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    axis = graph.tensor((), "int32", data=np.array(3))
    y = graph.tensor(shape[:3], "int32")
    int32 = schema.TensorType.INT32
    graph.operator("ARG_MAX", [x, axis], [y], "ArgMaxOptions", outputType=int32)
    return [x], [y]
