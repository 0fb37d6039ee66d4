"""Registry of graph families, and the random shapes, scales and values they draw.

A family is a function of a random generator that adds one small graph to a builder and returns its
input and output tensors. Shapes, strides, padding, zero points, scales and fused activations are
random, scales so that outputs use most of their range and also saturate now and then.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tflite_builder import GraphBuilder, schema

Rng = np.random.Generator
Ends = tuple[list[int], list[int]]
Family = Callable[[Rng, GraphBuilder, str], Ends]
FAMILIES: dict[str, tuple[Family, str]] = {}

ACTIVATIONS = (
    schema.ActivationFunctionType.NONE,
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU6,
    schema.ActivationFunctionType.RELU_N1_TO_1,
)
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def family(*dtypes: str) -> Callable[[Family], Family]:
    """Registers a family once for each type of its feature maps, as `<function>_<dtype>`."""

    def register(function: Family) -> Family:
        for dtype in dtypes:
            FAMILIES[f"{function.__name__}_{dtype}"] = (function, dtype)
        return function

    return register


def integer(rng: Rng, low: int, high: int) -> int:
    """Uniform integer in [low, high]."""
    return int(rng.integers(low, high + 1))


def random_scale(rng: Rng, low: float = 0.004, high: float = 0.2) -> float:
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high)))))


def random_zero_point(rng: Rng, dtype: str) -> int:
    return integer(rng, -128, 127) if dtype == "int8" else 0


def random_activation(rng: Rng, graph: GraphBuilder, shape: tuple[int, ...], dtype: str) -> int:
    scale = random_scale(rng) if dtype == "int8" else random_scale(rng, 1e-5, 1e-3)
    return graph.tensor(shape, dtype, scale, random_zero_point(rng, dtype))


def random_feature_map(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[int, tuple[int, ...]]:
    shape = (1, integer(rng, 1, 12), integer(rng, 1, 12), integer(rng, 1, 40))
    return random_activation(rng, graph, shape, dtype), shape


def random_values(rng: Rng, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def filter_tensors(
    rng: Rng, graph: GraphBuilder, shape: tuple[int, ...], in_scale: float, dtype: str,
    channel_axis: int = 0, per_channel: bool = True, taps: int | None = None,
) -> tuple[int, int, float, int]:  # fmt: skip
    """Weights and bias tensors; returns them with an output scale that fits and a zero point."""
    channels = shape[channel_axis]
    count = channels if per_channel else 1
    scales = np.array([random_scale(rng, 0.002, 0.05) for _ in range(count)], np.float32)
    values = np.clip(np.rint(rng.normal(0, rng.uniform(5, 60), shape)), -127, 127)
    values[rng.random(shape) < rng.choice([0.0, 0.0, 0.5, 0.9])] = 0
    weights = graph.tensor(shape, "int8", scales, 0, values, channel_axis)
    bias_scales = (scales * np.float32(in_scale)).astype(np.float32)
    limit = 4000 if dtype == "int8" else 4_000_000
    bias = rng.integers(-limit, limit, channels)
    bias_dtype = "int32" if dtype == "int8" else "int64"
    bias_tensor = graph.tensor((channels,), bias_dtype, bias_scales, 0, bias)
    taps = taps or int(np.prod(shape)) // channels
    spread = float(values.std() + 1) * float(scales.max()) * in_scale * np.sqrt(taps)
    steps = 40.0 if dtype == "int8" else 1.5
    out_scale = spread * (75 if dtype == "int8" else 19000) / (steps * rng.uniform(1.0, 4.0))
    if dtype == "int16":
        out_scale /= 10000
    return weights, bias_tensor, float(np.float32(out_scale)), random_zero_point(rng, dtype)


def window_output(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    span = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == SAME else (size - span) // stride + 1
