"""Families of random small graphs covering what Vela compiles for the Ethos-U55.

`generate(family, seed)` is deterministic: the same family and seed give the same model bytes.
Shapes, strides, padding, zero points, scales and fused activations are drawn at random, scales so
that outputs use most of their range and also saturate now and then.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from tflite_builder import GraphBuilder, schema

Rng = np.random.Generator
Family = Callable[[Rng, GraphBuilder, str], tuple[list[int], list[int]]]
FAMILIES: dict[str, tuple[Family, str]] = {}

_ACTIVATIONS = (
    schema.ActivationFunctionType.NONE,
    schema.ActivationFunctionType.RELU,
    schema.ActivationFunctionType.RELU6,
    schema.ActivationFunctionType.RELU_N1_TO_1,
)
_SAME, _VALID = schema.Padding.SAME, schema.Padding.VALID


def family(*dtypes: str) -> Callable[[Family], Family]:
    def register(function: Family) -> Family:
        for dtype in dtypes:
            FAMILIES[f"{function.__name__}_{dtype}"] = (function, dtype)
        return function

    return register


def generate(name: str, seed: int) -> bytes:
    """The `.tflite` bytes of one graph of family `name`."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    function, dtype = FAMILIES[name]
    graph = GraphBuilder()
    inputs, outputs = function(rng, graph, dtype)
    return graph.build(inputs, outputs)


def _int(rng: Rng, low: int, high: int) -> int:
    """Uniform integer in [low, high]."""
    return int(rng.integers(low, high + 1))


def _scale(rng: Rng, low: float = 0.004, high: float = 0.2) -> float:
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high)))))


def _zero(rng: Rng, dtype: str) -> int:
    return _int(rng, -128, 127) if dtype == "int8" else 0


def _activation(rng: Rng, graph: GraphBuilder, shape: tuple[int, ...], dtype: str) -> int:
    scale = _scale(rng) if dtype == "int8" else _scale(rng, 1e-5, 1e-3)
    return graph.tensor(shape, dtype, scale, _zero(rng, dtype))


def _feature_map(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[int, tuple[int, ...]]:
    shape = (1, _int(rng, 1, 12), _int(rng, 1, 12), _int(rng, 1, 40))
    return _activation(rng, graph, shape, dtype), shape


def _quantization(graph: GraphBuilder, index: int) -> tuple[float, int]:
    quantization = graph._tensors[index].quantization
    return quantization.scale[0], quantization.zeroPoint[0]


def _random(rng: Rng, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


def _weights(
    rng: Rng, graph: GraphBuilder, shape: tuple[int, ...], in_scale: float, dtype: str,
    channel_axis: int = 0, per_channel: bool = True, taps: int | None = None,
) -> tuple[int, int, float, int]:  # fmt: skip
    """Weights and bias tensors; returns them with an output scale that fits and a zero point."""
    channels = shape[channel_axis]
    count = channels if per_channel else 1
    scales = np.array([_scale(rng, 0.002, 0.05) for _ in range(count)], np.float32)
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
    return weights, bias_tensor, float(np.float32(out_scale)), _zero(rng, dtype)


def _window_output(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    span = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == _SAME else (size - span) // stride + 1


def _conv_geometry(rng: Rng) -> dict[str, int]:
    dilated = rng.random() < 0.25
    dilation = _int(rng, 2, 3) if dilated else 1
    return {
        "kh": _int(rng, 1, 5), "kw": _int(rng, 1, 5),
        "sh": 1 if dilated else _int(rng, 1, 3), "sw": 1 if dilated else _int(rng, 1, 3),
        "dh": dilation, "dw": dilation, "padding": int(rng.choice([_SAME, _VALID])),
    }  # fmt: skip


def _input_size(rng: Rng, kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1 + _int(rng, 0, 9)


@family("int8", "int16")
def conv(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    g = _conv_geometry(rng)
    depth, channels = _int(rng, 1, 40), _int(rng, 1, 40)
    height, width = _input_size(rng, g["kh"], g["dh"]), _input_size(rng, g["kw"], g["dw"])
    x = _activation(rng, graph, (1, height, width, depth), dtype)
    shape = (channels, g["kh"], g["kw"], depth)
    w, b, scale, zero = _weights(
        rng, graph, shape, _quantization(graph, x)[0], dtype, per_channel=rng.random() < 0.8
    )
    out = (
        1,
        _window_output(height, g["kh"], g["sh"], g["dh"], g["padding"]),
        _window_output(width, g["kw"], g["sw"], g["dw"], g["padding"]),
        channels,
    )
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=g["padding"], strideH=g["sh"],
        strideW=g["sw"], dilationHFactor=g["dh"], dilationWFactor=g["dw"],
        fusedActivationFunction=int(rng.choice(_ACTIVATIONS)),
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def depthwise(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    g = _conv_geometry(rng)
    g["sw"] = g["sh"]  # TFLite's kernel takes one stride for both axes
    depth = _int(rng, 1, 40)
    multiplier = _int(rng, 2, 8) if depth == 1 or rng.random() < 0.1 else 1
    depth = 1 if multiplier > 1 else depth
    height, width = _input_size(rng, g["kh"], g["dh"]), _input_size(rng, g["kw"], g["dw"])
    x = _activation(rng, graph, (1, height, width, depth), dtype)
    shape = (1, g["kh"], g["kw"], depth * multiplier)
    w, b, scale, zero = _weights(
        rng, graph, shape, _quantization(graph, x)[0], dtype, channel_axis=3
    )
    out = (
        1,
        _window_output(height, g["kh"], g["sh"], g["dh"], g["padding"]),
        _window_output(width, g["kw"], g["sw"], g["dw"], g["padding"]),
        depth * multiplier,
    )
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", padding=g["padding"],
        strideH=g["sh"], strideW=g["sw"], depthMultiplier=multiplier, dilationHFactor=g["dh"],
        dilationWFactor=g["dw"], fusedActivationFunction=int(rng.choice(_ACTIVATIONS)),
    )  # fmt: skip
    return [x], [y]


@family("int8")
def transpose_conv(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    stride, padding = 2, int(rng.choice([_SAME, _VALID]))
    kernel = _int(rng, 2, 4)
    depth, channels = _int(rng, 1, 24), _int(rng, 1, 24)
    height, width = _int(rng, 2, 8), _int(rng, 2, 8)
    x = _activation(rng, graph, (1, height, width, depth), dtype)
    w, b, scale, zero = _weights(
        rng, graph, (channels, kernel, kernel, depth), _quantization(graph, x)[0], dtype
    )
    extra = 0 if padding == _SAME else max(kernel - stride, 0)
    out = (1, height * stride + extra, width * stride + extra, channels)
    shape = graph.tensor((4,), "int32", data=np.array(out))
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "TRANSPOSE_CONV", [shape, w, x, b], [y], "TransposeConvOptions", padding=padding,
        strideH=stride, strideW=stride,
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def fully_connected(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    rows, depth, channels = _int(rng, 1, 4), _int(rng, 1, 300), _int(rng, 1, 200)
    x = _activation(rng, graph, (rows, depth), dtype)
    w, b, scale, zero = _weights(
        rng, graph, (channels, depth), _quantization(graph, x)[0], dtype,
        per_channel=rng.random() < 0.5,
    )  # fmt: skip
    y = graph.tensor((rows, channels), dtype, scale, zero)
    graph.operator(
        "FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions",
        fusedActivationFunction=int(rng.choice(_ACTIVATIONS[:3])),
    )  # fmt: skip
    return [x], [y]


def _pool(rng: Rng, graph: GraphBuilder, dtype: str, name: str) -> tuple[list[int], list[int]]:
    padding = int(rng.choice([_SAME, _VALID]))
    kh, kw, sh, sw = (_int(rng, 1, n) for n in (6, 6, 3, 3))
    height, width, depth = kh + _int(rng, 0, 8), kw + _int(rng, 0, 8), _int(rng, 1, 40)
    x = _activation(rng, graph, (1, height, width, depth), dtype)
    out = (
        1,
        _window_output(height, kh, sh, 1, padding),
        _window_output(width, kw, sw, 1, padding),
        depth,
    )
    y = graph.tensor(out, dtype, *_quantization(graph, x))
    graph.operator(
        name, [x], [y], "Pool2DOptions", padding=padding, strideH=sh, strideW=sw, filterHeight=kh,
        filterWidth=kw, fusedActivationFunction=int(rng.choice(_ACTIVATIONS[:3])),
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def max_pool(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _pool(rng, graph, dtype, "MAX_POOL_2D")


@family("int8", "int16")
def average_pool(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _pool(rng, graph, dtype, "AVERAGE_POOL_2D")


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
) -> tuple[list[int], list[int]]:
    a, shape = _feature_map(rng, graph, dtype)
    other = _broadcast_shape(rng, shape)
    scale_a, _ = _quantization(graph, a)
    scale_b = scale_a if rng.random() < 0.3 else scale_a * float(rng.uniform(0.2, 4))
    constant = rng.random() < 0.3
    data = _random(rng, dtype, other) if constant else None
    b = graph.tensor(other, dtype, scale_b, _zero(rng, dtype), data)
    top = 127 if dtype == "int8" else 32767
    natural = scale_a * scale_b * top if product else max(scale_a, scale_b)
    out_scale = natural * float(rng.choice([0.5, 1.0, 2.0, rng.uniform(0.3, 2.5)]))
    y = graph.tensor(shape, dtype, out_scale, _zero(rng, dtype))
    pair = [a, b] if rng.random() < 0.6 else [b, a]
    fields = {"fusedActivationFunction": int(rng.choice(_ACTIVATIONS[:3]))} if options else {}
    graph.operator(name, pair, [y], options, **fields)
    return ([a] if constant else [a, b]), [y]


@family("int8", "int16")
def add(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _binary(rng, graph, dtype, "ADD", "AddOptions", product=False)


@family("int8", "int16")
def sub(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _binary(rng, graph, dtype, "SUB", "SubOptions", product=False)


@family("int8", "int16")
def mul(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _binary(rng, graph, dtype, "MUL", "MulOptions", product=True)


def _min_max(rng: Rng, graph: GraphBuilder, dtype: str, name: str) -> tuple[list[int], list[int]]:
    a, shape = _feature_map(rng, graph, dtype)
    quantization = _quantization(graph, a)
    b = graph.tensor(_broadcast_shape(rng, shape), dtype, *quantization)
    y = graph.tensor(shape, dtype, *quantization)
    graph.operator(name, [a, b], [y], "MaximumMinimumOptions")
    return [a, b], [y]


@family("int8", "int16")
def minimum(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _min_max(rng, graph, dtype, "MINIMUM")


@family("int8", "int16")
def maximum(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _min_max(rng, graph, dtype, "MAXIMUM")


def _unary(
    rng: Rng, graph: GraphBuilder, dtype: str, name: str, out: tuple[float, int] | None = None,
    options: str | None = None, in_scale: float | None = None, **fields: float,
) -> tuple[list[int], list[int]]:  # fmt: skip
    shape = (1, _int(rng, 1, 12), _int(rng, 1, 12), _int(rng, 1, 40))
    default = _scale(rng) if dtype == "int8" else _scale(rng, 1e-5, 1e-3)
    x = graph.tensor(shape, dtype, in_scale or default, _zero(rng, dtype))
    if out is None:
        out = _quantization(graph, x)[0] * float(rng.uniform(0.5, 1.5)), _zero(rng, dtype)
    y = graph.tensor(shape, dtype, *out)
    graph.operator(name, [x], [y], options, **fields)
    return [x], [y]


@family("int8", "int16")
def abs_(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _unary(rng, graph, dtype, "ABS", options="AbsOptions")


@family("int8", "int16")
def leaky_relu(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    alpha = float(rng.uniform(0.01, 0.9))
    return _unary(rng, graph, dtype, "LEAKY_RELU", options="LeakyReluOptions", alpha=alpha)


@family("int8", "int16")
def relu(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    names = ["RELU", "RELU6", "RELU_N1_TO_1"] if dtype == "int8" else ["RELU", "RELU6"]
    return _unary(rng, graph, dtype, str(rng.choice(names)))


@family("int8", "int16")
def logistic(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    if dtype == "int8":
        return _unary(rng, graph, dtype, "LOGISTIC", (1 / 256, -128), in_scale=_scale(rng, 0.01))
    return _unary(rng, graph, dtype, "LOGISTIC", (1 / 32768, 0), in_scale=_int16_scale(rng))


@family("int8", "int16")
def tanh(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    if dtype == "int8":
        return _unary(rng, graph, dtype, "TANH", (1 / 128, 0), in_scale=_scale(rng, 0.01))
    return _unary(rng, graph, dtype, "TANH", (1 / 32768, 0), in_scale=_int16_scale(rng))


def _int16_scale(rng: Rng) -> float:
    """Power-of-two input scales take another path through the 16-bit kernels."""
    return float(rng.choice([2.0**-12, 2.0**-11, 2.0**-13, _scale(rng, 1e-4, 1e-3)]))


@family("int8")
def hard_swish(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _unary(rng, graph, dtype, "HARD_SWISH", options="HardSwishOptions")


@family("int8", "int16")
def quantize(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    """Requantization within a type, and from int16 to int8 (TFLite has no int8 to int16)."""
    shape = (1, _int(rng, 1, 6), _int(rng, 1, 8), _int(rng, 1, 40))
    target = str(rng.choice(["int8", dtype]))
    x = _activation(rng, graph, shape, dtype)
    ratio = 256.0 if dtype != target else 1.0
    scale = _quantization(graph, x)[0] * ratio * float(rng.uniform(0.5, 1.6))
    y = graph.tensor(shape, target, scale, _zero(rng, target))
    graph.operator("QUANTIZE", [x], [y], "QuantizeOptions")
    return [x], [y]


@family("int8", "int16")
def concatenation(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    a, shape = _feature_map(rng, graph, dtype)
    axis = _int(rng, 1, 3)
    inputs, total = [a], shape[axis]
    for _ in range(_int(rng, 1, 3)):
        size = _int(rng, 1, 20)
        part = (*shape[:axis], size, *shape[axis + 1 :])
        inputs.append(graph.tensor(part, dtype, *_quantization(graph, a)))
        total += size
    y = graph.tensor((*shape[:axis], total, *shape[axis + 1 :]), dtype, *_quantization(graph, a))
    graph.operator("CONCATENATION", inputs, [y], "ConcatenationOptions", axis=axis)
    return inputs, [y]


@family("int8", "int16")
def split(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    parts, axis = _int(rng, 2, 4), _int(rng, 1, 3)
    shape = [1, _int(rng, 1, 6), _int(rng, 1, 6), _int(rng, 1, 20)]
    piece = tuple(shape)
    shape[axis] *= parts
    x = _activation(rng, graph, tuple(shape), dtype)
    outputs = [graph.tensor(piece, dtype, *_quantization(graph, x)) for _ in range(parts)]
    axis_tensor = graph.tensor((), "int32", data=np.array(axis))
    graph.operator("SPLIT", [axis_tensor, x], outputs, "SplitOptions", numSplits=parts)
    return [x], outputs


@family("int8", "int16")
def strided_slice(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    x, shape = _feature_map(rng, graph, dtype)
    begin = [0] + [_int(rng, 0, n - 1) for n in shape[1:]]
    end = [1] + [_int(rng, b + 1, n) for b, n in zip(begin[1:], shape[1:], strict=True)]
    parameters = [graph.tensor((4,), "int32", data=np.array(v)) for v in (begin, end, [1, 1, 1, 1])]
    out = tuple(e - b for b, e in zip(begin, end, strict=True))
    y = graph.tensor(out, dtype, *_quantization(graph, x))
    graph.operator("STRIDED_SLICE", [x, *parameters], [y], "StridedSliceOptions")
    return [x], [y]


@family("int8", "int16")
def pad_conv(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    """PAD, which the compiler folds into the convolution behind it or runs by itself."""
    depth, channels, kernel = _int(rng, 1, 20), _int(rng, 1, 20), _int(rng, 1, 3)
    height, width = _int(rng, 3, 9), _int(rng, 3, 9)
    top, bottom, left, right = (_int(rng, 0, 2) for _ in range(4))
    x = _activation(rng, graph, (1, height, width, depth), dtype)
    paddings = np.array([[0, 0], [top, bottom], [left, right], [0, 0]])
    pads = graph.tensor((4, 2), "int32", data=paddings)
    padded_shape = (1, height + top + bottom, width + left + right, depth)
    padded = graph.tensor(padded_shape, dtype, *_quantization(graph, x))
    graph.operator("PAD", [x, pads], [padded], "PadOptions")
    w, b, scale, zero = _weights(
        rng, graph, (channels, kernel, kernel, depth), _quantization(graph, x)[0], dtype
    )
    out = (1, padded_shape[1] - kernel + 1, padded_shape[2] - kernel + 1, channels)
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "CONV_2D", [padded, w, b], [y], "Conv2DOptions", padding=_VALID, strideH=1, strideW=1,
        dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def mean(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    x, shape = _feature_map(rng, graph, dtype)
    axes = [[1, 2], [1], [2], [3]][_int(rng, 0, 3)]
    out = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    indices = graph.tensor((len(axes),), "int32", data=np.array(axes))
    scale, _ = _quantization(graph, x)
    y = graph.tensor(out, dtype, scale * float(rng.uniform(0.4, 1.2)), _zero(rng, dtype))
    graph.operator("MEAN", [x, indices], [y], "ReducerOptions", keepDims=True)
    return [x], [y]


@family("int8")
def softmax(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    shape = (_int(rng, 1, 6), _int(rng, 2, 30))
    x = graph.tensor(shape, dtype, _scale(rng, 0.02, 0.2), _zero(rng, dtype))
    y = graph.tensor(shape, dtype, 1 / 256, -128)
    graph.operator("SOFTMAX", [x], [y], "SoftmaxOptions", beta=1.0)
    return [x], [y]


def _resize(rng: Rng, graph: GraphBuilder, dtype: str, name: str) -> tuple[list[int], list[int]]:
    height, width, depth = _int(rng, 2, 6), _int(rng, 2, 6), _int(rng, 1, 20)
    factor = int(rng.choice([2, 4]))
    x = _activation(rng, graph, (1, height, width, depth), dtype)
    size = graph.tensor((2,), "int32", data=np.array([height * factor, width * factor]))
    out = (1, height * factor, width * factor, depth)
    y = graph.tensor(out, dtype, *_quantization(graph, x))
    half_pixel = name == "RESIZE_BILINEAR" and bool(rng.random() < 0.4)
    options = "ResizeBilinearOptions" if "BILINEAR" in name else "ResizeNearestNeighborOptions"
    graph.operator(name, [x, size], [y], options, alignCorners=False, halfPixelCenters=half_pixel)
    return [x], [y]


@family("int8")
def resize_nearest(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _resize(rng, graph, dtype, "RESIZE_NEAREST_NEIGHBOR")


@family("int8")
def resize_bilinear(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    return _resize(rng, graph, dtype, "RESIZE_BILINEAR")


@family("int8", "int16")
def transpose(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    x, shape = _feature_map(rng, graph, dtype)
    order = [[0, 2, 1, 3], [0, 1, 3, 2], [0, 3, 2, 1]][_int(rng, 0, 2)]
    permutation = graph.tensor((4,), "int32", data=np.array(order))
    y = graph.tensor(tuple(shape[i] for i in order), dtype, *_quantization(graph, x))
    graph.operator("TRANSPOSE", [x, permutation], [y], "TransposeOptions")
    return [x], [y]


@family("int8", "int16")
def chain(rng: Rng, graph: GraphBuilder, dtype: str) -> tuple[list[int], list[int]]:
    """Convolution, activation function, elementwise and pooling in a row, as in real networks."""
    depth, channels, size = _int(rng, 1, 20), _int(rng, 1, 40), _int(rng, 4, 10)
    x = _activation(rng, graph, (1, size, size, depth), dtype)
    w, b, scale, zero = _weights(
        rng, graph, (channels, 3, 3, depth), _quantization(graph, x)[0], dtype
    )
    shape = (1, size, size, channels)
    hidden = graph.tensor(shape, dtype, scale, zero)
    graph.operator(
        "CONV_2D", [x, w, b], [hidden], "Conv2DOptions", padding=_SAME, strideH=1, strideW=1,
        dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=int(rng.choice(_ACTIVATIONS)),
    )  # fmt: skip
    other = graph.tensor(shape, dtype, scale * 0.7, _zero(rng, dtype))
    total = graph.tensor(shape, dtype, scale * 1.3, _zero(rng, dtype))
    graph.operator("ADD", [hidden, other], [total], "AddOptions")
    out = (1, size // 2, size // 2, channels)
    y = graph.tensor(out, dtype, *_quantization(graph, total))
    graph.operator(
        "MAX_POOL_2D", [total], [y], "Pool2DOptions", padding=_VALID, strideH=2, strideW=2,
        filterHeight=2, filterWidth=2,
    )  # fmt: skip
    return [x, other], [y]
