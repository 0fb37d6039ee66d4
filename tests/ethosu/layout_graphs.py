"""Graphs of operators that move elements: joining, cutting, padding, resizing."""

from __future__ import annotations

import numpy as np
from graph_family import (
    Ends,
    Rng,
    family,
    integer,
    random_activation,
    random_feature_map,
)
from tflite_builder import GraphBuilder


@family("int8", "int16")
def concatenation(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    a, shape = random_feature_map(rng, graph, dtype)
    axis = integer(rng, 1, 3)
    inputs, total = [a], shape[axis]
    for _ in range(integer(rng, 1, 3)):
        size = integer(rng, 1, 20)
        part = (*shape[:axis], size, *shape[axis + 1 :])
        inputs.append(graph.tensor(part, dtype, *graph.quantization_of(a)))
        total += size
    y = graph.tensor((*shape[:axis], total, *shape[axis + 1 :]), dtype, *graph.quantization_of(a))
    graph.operator("CONCATENATION", inputs, [y], "ConcatenationOptions", axis=axis)
    return inputs, [y]


@family("int8", "int16")
def split(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    parts, axis = integer(rng, 2, 4), integer(rng, 1, 3)
    shape = [1, integer(rng, 1, 6), integer(rng, 1, 6), integer(rng, 1, 20)]
    piece = tuple(shape)
    shape[axis] *= parts
    x = random_activation(rng, graph, tuple(shape), dtype)
    outputs = [graph.tensor(piece, dtype, *graph.quantization_of(x)) for _ in range(parts)]
    axis_tensor = graph.tensor((), "int32", data=np.array(axis))
    graph.operator("SPLIT", [axis_tensor, x], outputs, "SplitOptions", numSplits=parts)
    return [x], outputs


@family("int8", "int16")
def strided_slice(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    begin = [0] + [integer(rng, 0, n - 1) for n in shape[1:]]
    end = [1] + [integer(rng, b + 1, n) for b, n in zip(begin[1:], shape[1:], strict=True)]
    parameters = [graph.tensor((4,), "int32", data=np.array(v)) for v in (begin, end, [1, 1, 1, 1])]
    out = tuple(e - b for b, e in zip(begin, end, strict=True))
    y = graph.tensor(out, dtype, *graph.quantization_of(x))
    graph.operator("STRIDED_SLICE", [x, *parameters], [y], "StridedSliceOptions")
    return [x], [y]


def _resize(rng: Rng, graph: GraphBuilder, dtype: str, name: str) -> Ends:
    height, width, depth = integer(rng, 2, 6), integer(rng, 2, 6), integer(rng, 1, 20)
    factor = int(rng.choice([2, 4]))
    x = random_activation(rng, graph, (1, height, width, depth), dtype)
    size = graph.tensor((2,), "int32", data=np.array([height * factor, width * factor]))
    out = (1, height * factor, width * factor, depth)
    y = graph.tensor(out, dtype, *graph.quantization_of(x))
    half_pixel = name == "RESIZE_BILINEAR" and bool(rng.random() < 0.4)
    options = "ResizeBilinearOptions" if "BILINEAR" in name else "ResizeNearestNeighborOptions"
    graph.operator(name, [x, size], [y], options, alignCorners=False, halfPixelCenters=half_pixel)
    return [x], [y]


@family("int8")
def resize_nearest(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _resize(rng, graph, dtype, "RESIZE_NEAREST_NEIGHBOR")


@family("int8")
def resize_bilinear(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _resize(rng, graph, dtype, "RESIZE_BILINEAR")


@family("int8", "int16")
def transpose(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    order = [[0, 2, 1, 3], [0, 1, 3, 2], [0, 3, 2, 1]][integer(rng, 0, 2)]
    permutation = graph.tensor((4,), "int32", data=np.array(order))
    y = graph.tensor(tuple(shape[i] for i in order), dtype, *graph.quantization_of(x))
    graph.operator("TRANSPOSE", [x, permutation], [y], "TransposeOptions")
    return [x], [y]
