"""Graphs of filters: convolutions, fully connected layers, pooling, and what feeds them."""

from __future__ import annotations

import numpy as np
from graph_family import (
    ACTIVATIONS,
    SAME,
    VALID,
    Ends,
    Rng,
    family,
    filter_tensors,
    integer,
    random_activation,
    random_zero_point,
    window_output,
)
from tflite_builder import GraphBuilder


def _conv_geometry(rng: Rng) -> dict[str, int]:
    dilated = rng.random() < 0.25
    dilation = integer(rng, 2, 3) if dilated else 1
    return {
        "kh": integer(rng, 1, 5), "kw": integer(rng, 1, 5),
        "sh": 1 if dilated else integer(rng, 1, 3), "sw": 1 if dilated else integer(rng, 1, 3),
        "dh": dilation, "dw": dilation, "padding": int(rng.choice([SAME, VALID])),
    }  # fmt: skip


def _input_size(rng: Rng, kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1 + integer(rng, 0, 9)


@family("int8", "int16")
def conv(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    g = _conv_geometry(rng)
    depth, channels = integer(rng, 1, 40), integer(rng, 1, 40)
    height, width = _input_size(rng, g["kh"], g["dh"]), _input_size(rng, g["kw"], g["dw"])
    x = random_activation(rng, graph, (1, height, width, depth), dtype)
    shape = (channels, g["kh"], g["kw"], depth)
    w, b, scale, zero = filter_tensors(
        rng, graph, shape, graph.quantization_of(x)[0], dtype, per_channel=rng.random() < 0.8
    )
    out = (
        1,
        window_output(height, g["kh"], g["sh"], g["dh"], g["padding"]),
        window_output(width, g["kw"], g["sw"], g["dw"], g["padding"]),
        channels,
    )
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=g["padding"], strideH=g["sh"],
        strideW=g["sw"], dilationHFactor=g["dh"], dilationWFactor=g["dw"],
        fusedActivationFunction=int(rng.choice(ACTIVATIONS)),
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def depthwise(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    g = _conv_geometry(rng)
    g["sw"] = g["sh"]  # TFLite's kernel takes one stride for both axes
    depth = integer(rng, 1, 40)
    multiplier = integer(rng, 2, 8) if depth == 1 or rng.random() < 0.1 else 1
    depth = 1 if multiplier > 1 else depth
    height, width = _input_size(rng, g["kh"], g["dh"]), _input_size(rng, g["kw"], g["dw"])
    x = random_activation(rng, graph, (1, height, width, depth), dtype)
    shape = (1, g["kh"], g["kw"], depth * multiplier)
    w, b, scale, zero = filter_tensors(
        rng, graph, shape, graph.quantization_of(x)[0], dtype, channel_axis=3
    )
    out = (
        1,
        window_output(height, g["kh"], g["sh"], g["dh"], g["padding"]),
        window_output(width, g["kw"], g["sw"], g["dw"], g["padding"]),
        depth * multiplier,
    )
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "DEPTHWISE_CONV_2D", [x, w, b], [y], "DepthwiseConv2DOptions", padding=g["padding"],
        strideH=g["sh"], strideW=g["sw"], depthMultiplier=multiplier, dilationHFactor=g["dh"],
        dilationWFactor=g["dw"], fusedActivationFunction=int(rng.choice(ACTIVATIONS)),
    )  # fmt: skip
    return [x], [y]


@family("int8")
def transpose_conv(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    stride, padding = integer(rng, 1, 2), int(rng.choice([SAME, VALID]))
    kernel_height, kernel_width = integer(rng, stride, 5), integer(rng, stride, 5)
    depth, channels = integer(rng, 1, 24), integer(rng, 1, 24)
    height, width = integer(rng, 2, 8), integer(rng, 2, 8)
    x = random_activation(rng, graph, (1, height, width, depth), dtype)
    w, b, scale, zero = filter_tensors(
        rng, graph, (channels, kernel_height, kernel_width, depth), graph.quantization_of(x)[0],
        dtype, per_channel=rng.random() < 0.5,
    )  # fmt: skip
    extra = (0, 0) if padding == SAME else (kernel_height - stride, kernel_width - stride)
    out = (1, height * stride + extra[0], width * stride + extra[1], channels)
    shape = graph.tensor((4,), "int32", data=np.array(out))
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "TRANSPOSE_CONV", [shape, w, x, b], [y], "TransposeConvOptions", padding=padding,
        strideH=stride, strideW=stride,
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def fully_connected(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    rows, depth, channels = integer(rng, 1, 4), integer(rng, 1, 300), integer(rng, 1, 200)
    x = random_activation(rng, graph, (rows, depth), dtype)
    w, b, scale, zero = filter_tensors(
        rng, graph, (channels, depth), graph.quantization_of(x)[0], dtype,
        per_channel=rng.random() < 0.5,
    )  # fmt: skip
    y = graph.tensor((rows, channels), dtype, scale, zero)
    graph.operator(
        "FULLY_CONNECTED", [x, w, b], [y], "FullyConnectedOptions",
        fusedActivationFunction=int(rng.choice(ACTIVATIONS[:3])),
    )  # fmt: skip
    return [x], [y]


def _pool(rng: Rng, graph: GraphBuilder, dtype: str, name: str) -> Ends:
    padding = int(rng.choice([SAME, VALID]))
    kh, kw, sh, sw = (integer(rng, 1, n) for n in (6, 6, 3, 3))
    height, width, depth = kh + integer(rng, 0, 8), kw + integer(rng, 0, 8), integer(rng, 1, 40)
    x = random_activation(rng, graph, (1, height, width, depth), dtype)
    out = (
        1,
        window_output(height, kh, sh, 1, padding),
        window_output(width, kw, sw, 1, padding),
        depth,
    )
    y = graph.tensor(out, dtype, *graph.quantization_of(x))
    graph.operator(
        name, [x], [y], "Pool2DOptions", padding=padding, strideH=sh, strideW=sw, filterHeight=kh,
        filterWidth=kw, fusedActivationFunction=int(rng.choice(ACTIVATIONS[:3])),
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def max_pool(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _pool(rng, graph, dtype, "MAX_POOL_2D")


@family("int8", "int16")
def average_pool(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    return _pool(rng, graph, dtype, "AVERAGE_POOL_2D")


@family("int8", "int16")
def pad_conv(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    """PAD, which the compiler folds into the convolution behind it or runs by itself."""
    depth, channels, kernel = integer(rng, 1, 20), integer(rng, 1, 20), integer(rng, 1, 3)
    height, width = integer(rng, 3, 9), integer(rng, 3, 9)
    top, bottom, left, right = (integer(rng, 0, 2) for _ in range(4))
    x = random_activation(rng, graph, (1, height, width, depth), dtype)
    paddings = np.array([[0, 0], [top, bottom], [left, right], [0, 0]])
    pads = graph.tensor((4, 2), "int32", data=paddings)
    padded_shape = (1, height + top + bottom, width + left + right, depth)
    padded = graph.tensor(padded_shape, dtype, *graph.quantization_of(x))
    graph.operator("PAD", [x, pads], [padded], "PadOptions")
    w, b, scale, zero = filter_tensors(
        rng, graph, (channels, kernel, kernel, depth), graph.quantization_of(x)[0], dtype
    )
    out = (1, padded_shape[1] - kernel + 1, padded_shape[2] - kernel + 1, channels)
    y = graph.tensor(out, dtype, scale, zero)
    graph.operator(
        "CONV_2D", [padded, w, b], [y], "Conv2DOptions", padding=VALID, strideH=1, strideW=1,
        dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    return [x], [y]


@family("int8", "int16")
def chain(rng: Rng, graph: GraphBuilder, dtype: str) -> Ends:
    """Convolution, activation function, elementwise and pooling in a row, as in real networks."""
    depth, channels, size = integer(rng, 1, 20), integer(rng, 1, 40), integer(rng, 4, 10)
    x = random_activation(rng, graph, (1, size, size, depth), dtype)
    w, b, scale, zero = filter_tensors(
        rng, graph, (channels, 3, 3, depth), graph.quantization_of(x)[0], dtype
    )
    shape = (1, size, size, channels)
    hidden = graph.tensor(shape, dtype, scale, zero)
    graph.operator(
        "CONV_2D", [x, w, b], [hidden], "Conv2DOptions", padding=SAME, strideH=1, strideW=1,
        dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=int(rng.choice(ACTIVATIONS)),
    )  # fmt: skip
    other = graph.tensor(shape, dtype, scale * 0.7, random_zero_point(rng, dtype))
    total = graph.tensor(shape, dtype, scale * 1.3, random_zero_point(rng, dtype))
    graph.operator("ADD", [hidden, other], [total], "AddOptions")
    out = (1, size // 2, size // 2, channels)
    y = graph.tensor(out, dtype, *graph.quantization_of(total))
    graph.operator(
        "MAX_POOL_2D", [total], [y], "Pool2DOptions", padding=VALID, strideH=2, strideW=2,
        filterHeight=2, filterWidth=2,
    )  # fmt: skip
    return [x, other], [y]
