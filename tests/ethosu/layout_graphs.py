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
    random_values,
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


@family("int8", "int16")
def cut(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    begin = [0] + [integer(rng, 0, n - 1) for n in shape[1:]]
    size = [1] + [integer(rng, 1, n - b) for b, n in zip(begin[1:], shape[1:], strict=True)]
    parameters = [graph.tensor((4,), "int32", data=np.array(v)) for v in (begin, size)]
    y = graph.tensor(tuple(size), dtype, *graph.quantization_of(x))
    graph.operator("SLICE", [x, *parameters], [y], "SliceOptions")
    return [x], [y]


@family("int8", "int16")
def split_v(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    axis = max(range(1, 4), key=lambda axis: shape[axis])
    first = integer(rng, 1, max(1, shape[axis] - 1))
    sizes = [first, shape[axis] - first] if first < shape[axis] else [first]
    outputs = [
        graph.tensor((*shape[:axis], n, *shape[axis + 1 :]), dtype, *graph.quantization_of(x))
        for n in sizes
    ]
    parameters = [
        graph.tensor((len(sizes),), "int32", data=np.array(sizes)),
        graph.tensor((), "int32", data=np.array(axis)),
    ]
    graph.operator("SPLIT_V", [x, *parameters], outputs, "SplitVOptions", numSplits=len(sizes))
    return [x], outputs


@family("int8", "int16")
def pack(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    shape = (integer(rng, 1, 8), integer(rng, 1, 30))
    inputs = [random_activation(rng, graph, shape, dtype)]
    quantization = graph.quantization_of(inputs[0])
    inputs += [graph.tensor(shape, dtype, *quantization) for _ in range(integer(rng, 1, 3))]
    axis = integer(rng, 0, 1)
    out = (*shape[:axis], len(inputs), *shape[axis:])
    y = graph.tensor(out, dtype, *quantization)
    graph.operator("PACK", inputs, [y], "PackOptions", valuesCount=len(inputs), axis=axis)
    return inputs, [y]


@family("int8", "int16")
def unpack(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    shape = (integer(rng, 1, 4), integer(rng, 1, 8), integer(rng, 1, 30))
    x = random_activation(rng, graph, shape, dtype)
    axis = integer(rng, 0, 1)
    piece = (*shape[:axis], *shape[axis + 1 :])
    outputs = [graph.tensor(piece, dtype, *graph.quantization_of(x)) for _ in range(shape[axis])]
    graph.operator("UNPACK", [x], outputs, "UnpackOptions", num=shape[axis], axis=axis)
    return [x], outputs


@family("int8")
def tile(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    shape = (1, integer(rng, 1, 5), integer(rng, 1, 5), integer(rng, 1, 20))
    x = random_activation(rng, graph, shape, dtype)
    multiples = [1] + [integer(rng, 1, 3) for _ in range(3)]
    y = graph.tensor(
        tuple(n * m for n, m in zip(shape, multiples, strict=True)), dtype,
        *graph.quantization_of(x),
    )  # fmt: skip
    repeats = graph.tensor((4,), "int32", data=np.array(multiples))
    graph.operator("TILE", [x, repeats], [y], "TileOptions")
    return [x], [y]


@family("int8", "int16")
def mirror_pad(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    shape = (1, integer(rng, 3, 8), integer(rng, 3, 8), integer(rng, 1, 20))
    x = random_activation(rng, graph, shape, dtype)
    pads = np.array([[0, 0], *([integer(rng, 0, 2), integer(rng, 0, 2)] for _ in range(2)), [0, 0]])
    y = graph.tensor(
        tuple(int(n + p.sum()) for n, p in zip(shape, pads, strict=True)), dtype,
        *graph.quantization_of(x),
    )  # fmt: skip
    paddings = graph.tensor((4, 2), "int32", data=pads)
    mode = int(rng.integers(0, 2))
    graph.operator("MIRROR_PAD", [x, paddings], [y], "MirrorPadOptions", mode=mode)
    return [x], [y]


@family("int8", "int16")
def pad_value(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    pads = np.array([[0, 0], *([integer(rng, 0, 3), integer(rng, 0, 3)] for _ in range(3))])
    quantization = graph.quantization_of(x)
    y = graph.tensor(
        tuple(int(n + p.sum()) for n, p in zip(shape, pads, strict=True)), dtype, *quantization
    )
    paddings = graph.tensor((4, 2), "int32", data=pads)
    value = graph.tensor((1,), dtype, *quantization, random_values(rng, dtype, (1,)))
    graph.operator("PADV2", [x, paddings, value], [y], "PadV2Options")
    return [x], [y]


@family("int8", "int16")
def reshape(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    flat = (1, int(np.prod(shape)))
    target = graph.tensor((2,), "int32", data=np.array(flat))
    y = graph.tensor(flat, dtype, *graph.quantization_of(x))
    graph.operator("RESHAPE", [x, target], [y], "ReshapeOptions", newShape=list(flat))
    return [x], [y]
