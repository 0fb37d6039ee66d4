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
from tflite_builder import GraphBuilder


@family("int8", "int16")
def mean(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    axes = [[1, 2], [1], [2], [3]][integer(rng, 0, 3)]
    out = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    indices = graph.tensor((len(axes),), "int32", data=np.array(axes))
    scale, _ = graph.quantization_of(x)
    y = graph.tensor(
        out, dtype, scale * float(rng.uniform(0.4, 1.2)), random_zero_point(rng, dtype)
    )
    graph.operator("MEAN", [x, indices], [y], "ReducerOptions", keepDims=True)
    return [x], [y]
