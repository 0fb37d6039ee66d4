"""Graphs of operators with two operands: arithmetic, extremes, products."""

from __future__ import annotations

import numpy as np
from graph_family import (
    ACTIVATIONS,
    Ends,
    Rng,
    family,
    integer,
    random_activation,
    random_feature_map,
    random_scale,
    random_values,
    random_zero_point,
)
from tflite_builder import GraphBuilder


def _broadcast_shape(rng: Rng, shape: tuple[int, ...]) -> tuple[int, ...]:
    kind = rng.integers(0, 6)
    if kind <= 1:
        return shape
    if kind == 2:
        return (1, 1, 1, shape[3])
    if kind == 3:
        return (1, 1, 1, 1)
    if kind == 4:
        return (1, shape[1], 1, shape[3])
    return (1, 1, shape[2], shape[3])


def _binary(
    rng: Rng, graph: GraphBuilder, dtype: str, name: str, options: str | None, product: bool
) -> Ends:
    a, shape = random_feature_map(rng, graph, dtype)
    other = _broadcast_shape(rng, shape)
    scale_a, _ = graph.quantization_of(a)
    scale_b = scale_a if rng.random() < 0.3 else scale_a * float(rng.uniform(0.2, 4))
    constant = rng.random() < 0.3
    data = random_values(rng, dtype, other) if constant else None
    b = graph.tensor(other, dtype, scale_b, random_zero_point(rng, dtype), data)
    top = 127 if dtype == "int8" else 32767
    natural = scale_a * scale_b * top if product else max(scale_a, scale_b)
    out_scale = natural * float(rng.choice([0.5, 1.0, 2.0, rng.uniform(0.3, 2.5)]))
    y = graph.tensor(shape, dtype, out_scale, random_zero_point(rng, dtype))
    pair = [a, b] if rng.random() < 0.6 else [b, a]
    fields = {"fusedActivationFunction": int(rng.choice(ACTIVATIONS[:3]))} if options else {}
    graph.operator(name, pair, [y], options, **fields)
    return ([a] if constant else [a, b]), [y]


@family("int8", "int16")
def add(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _binary(rng, graph, dtype, "ADD", "AddOptions", product=False)


@family("int8", "int16")
def sub(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _binary(rng, graph, dtype, "SUB", "SubOptions", product=False)


@family("int8", "int16")
def mul(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _binary(rng, graph, dtype, "MUL", "MulOptions", product=True)


def _min_max(rng: Rng, graph: GraphBuilder, dtype: str, name: str) -> Ends:
    a, shape = random_feature_map(rng, graph, dtype)
    quantization = graph.quantization_of(a)
    b = graph.tensor(_broadcast_shape(rng, shape), dtype, *quantization)
    y = graph.tensor(shape, dtype, *quantization)
    graph.operator(name, [a, b], [y], "MaximumMinimumOptions")
    return [a, b], [y]


@family("int8", "int16")
def minimum(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _min_max(rng, graph, dtype, "MINIMUM")


@family("int8", "int16")
def maximum(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _min_max(rng, graph, dtype, "MAXIMUM")


@family("int8")
def squared_difference(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _binary(rng, graph, dtype, "SQUARED_DIFFERENCE", None, product=True)


@family("int8")
def prelu(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    x, shape = random_feature_map(rng, graph, dtype)
    kind = integer(rng, 0, 3)
    alpha_shape = (1, 1, 1) if kind == 0 else shape[1:] if kind == 1 else (1, 1, shape[3])
    constant = rng.random() < 0.7
    alpha = graph.tensor(
        alpha_shape, dtype, random_scale(rng, 0.002, 0.02), random_zero_point(rng, dtype),
        random_values(rng, dtype, alpha_shape) if constant else None,
    )  # fmt: skip
    scale = graph.quantization_of(x)[0] * float(rng.uniform(0.5, 1.5))
    y = graph.tensor(shape, dtype, scale, random_zero_point(rng, dtype))
    graph.operator("PRELU", [x, alpha], [y])
    return ([x] if constant else [x, alpha]), [y]


@family("int8")
def batch_matmul(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    rows, depth, columns = integer(rng, 1, 12), integer(rng, 1, 40), integer(rng, 1, 30)
    batch = integer(rng, 1, 3)
    a = random_activation(rng, graph, (batch, rows, depth), dtype)
    b = random_activation(rng, graph, (batch, depth, columns), dtype)
    spread = graph.quantization_of(a)[0] * graph.quantization_of(b)[0] * 75 * np.sqrt(depth)
    y = graph.tensor(
        (batch, rows, columns), dtype, float(spread * rng.uniform(0.5, 2.0)),
        random_zero_point(rng, dtype),
    )  # fmt: skip
    graph.operator("BATCH_MATMUL", [a, b], [y], "BatchMatMulOptions", adjX=False, adjY=False)
    return [a, b], [y]
