"""Graphs of functions of one operand: activations, requantization, tables."""

from __future__ import annotations

import numpy as np
from graph_family import (
    Ends,
    Rng,
    family,
    integer,
    random_activation,
    random_scale,
    random_zero_point,
)
from tflite_builder import GraphBuilder


def _unary(
    rng: Rng, graph: GraphBuilder, dtype: str, name: str, out: tuple[float, int] | None = None,
    options: str | None = None, in_scale: float | None = None, **fields: float,
) -> Ends:  # fmt: skip
    shape = (1, integer(rng, 1, 12), integer(rng, 1, 12), integer(rng, 1, 40))
    default = random_scale(rng) if dtype == "int8" else random_scale(rng, 1e-5, 1e-3)
    x = graph.tensor(shape, dtype, in_scale or default, random_zero_point(rng, dtype))
    if out is None:
        out = (
            graph.quantization_of(x)[0] * float(rng.uniform(0.5, 1.5)),
            random_zero_point(rng, dtype),
        )
    y = graph.tensor(shape, dtype, *out)
    graph.operator(name, [x], [y], options, **fields)
    return [x], [y]


@family("int8", "int16")
def absolute(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _unary(rng, graph, dtype, "ABS", options="AbsOptions")


@family("int8", "int16")
def leaky_relu(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    alpha = float(rng.uniform(0.01, 0.9))
    return _unary(rng, graph, dtype, "LEAKY_RELU", options="LeakyReluOptions", alpha=alpha)


@family("int8", "int16")
def relu(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    names = ["RELU", "RELU6", "RELU_N1_TO_1"] if dtype == "int8" else ["RELU", "RELU6"]
    return _unary(rng, graph, dtype, str(rng.choice(names)))


@family("int8", "int16")
def logistic(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    if dtype == "int8":
        return _unary(
            rng, graph, dtype, "LOGISTIC", (1 / 256, -128), in_scale=random_scale(rng, 0.01)
        )
    return _unary(rng, graph, dtype, "LOGISTIC", (1 / 32768, 0), in_scale=_int16_scale(rng))


@family("int8", "int16")
def tanh(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    if dtype == "int8":
        return _unary(rng, graph, dtype, "TANH", (1 / 128, 0), in_scale=random_scale(rng, 0.01))
    return _unary(rng, graph, dtype, "TANH", (1 / 32768, 0), in_scale=_int16_scale(rng))


def _int16_scale(rng: Rng) -> float:
    """Power-of-two input scales take another path through the 16-bit kernels."""
    return float(rng.choice([2.0**-12, 2.0**-11, 2.0**-13, random_scale(rng, 1e-4, 1e-3)]))


@family("int8")
def hard_swish(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _unary(rng, graph, dtype, "HARD_SWISH", options="HardSwishOptions")


@family("int8", "int16")
def quantize(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    """Requantization within a type, and from int16 to int8 (TFLite has no int8 to int16)."""
    shape = (1, integer(rng, 1, 6), integer(rng, 1, 8), integer(rng, 1, 40))
    target = str(rng.choice(["int8", dtype]))
    x = random_activation(rng, graph, shape, dtype)
    ratio = 256.0 if dtype != target else 1.0
    scale = graph.quantization_of(x)[0] * ratio * float(rng.uniform(0.5, 1.6))
    y = graph.tensor(shape, target, scale, random_zero_point(rng, target))
    graph.operator("QUANTIZE", [x], [y], "QuantizeOptions")
    return [x], [y]


@family("int8")
def softmax(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    shape = (integer(rng, 1, 6), integer(rng, 2, 30))
    x = graph.tensor(shape, dtype, random_scale(rng, 0.02, 0.2), random_zero_point(rng, dtype))
    y = graph.tensor(shape, dtype, 1 / 256, -128)
    graph.operator("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
    return [x], [y]


@family("int8", "int16")
def exponential(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    scale = random_scale(rng, 0.005, 0.03) if dtype == "int8" else random_scale(rng, 2e-5, 1e-4)
    largest = np.exp(scale * (255 if dtype == "int8" else 32767))
    steps = 255 if dtype == "int8" else 32767
    out = float(np.float32(largest / steps * rng.uniform(0.5, 1.0)))
    return _unary(
        rng, graph, dtype, "EXP", (out, -128 if dtype == "int8" else 0), "ExpOptions", scale
    )


@family("int8", "int16")
def logarithm(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _unary(rng, graph, dtype, "LOG", _signed_output(rng, dtype, 4.0))


@family("int8", "int16")
def reciprocal_root(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    """Behind a RELU, because the reference kernels refuse negative input."""
    (x,), (positive,) = _unary(rng, graph, dtype, "RELU")
    y = graph.tensor(graph.shape_of(positive), dtype, *_signed_output(rng, dtype, 4.0))
    graph.operator("RSQRT", [positive], [y])
    return [x], [y]


@family("int8")
def elu(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _unary(rng, graph, dtype, "ELU")


@family("int8")
def gelu(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    approximate = bool(rng.random() < 0.5)
    return _unary(rng, graph, dtype, "GELU", options="GeluOptions", approximate=approximate)


@family("int8", "int16")
def negative(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    """Equal scales: neither TFLite nor the compiler looks at them."""
    scale = random_scale(rng)
    out = (scale, random_zero_point(rng, dtype))
    return _unary(rng, graph, dtype, "NEG", out, "NegOptions", scale)


def _signed_output(rng: Rng, dtype: str, largest: float) -> tuple[float, int]:
    """Quantization that covers about [-largest, largest]."""
    steps = 127 if dtype == "int8" else 32767
    return float(np.float32(largest / steps * rng.uniform(0.5, 1.5))), random_zero_point(rng, dtype)
