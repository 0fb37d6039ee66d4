"""Builder of fully integer TFLite models, without the TensorFlow converter.

The converter chooses scales from representative data; a network trained through its quantizers has
already chosen them, and they must reach the file unchanged. `Graph` takes every scale from the
caller, checks what the TFLite 8-bit and 16x8 specifications demand
(https://ai.google.dev/edge/litert/models/quantization_spec), and writes the same bytes for the
same calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pipeline.errors import InputError
from pipeline.lowering.tflite_file import TfliteFile

Activation = Literal["none", "relu"]
Widening = Literal["quantize", "float"]

_CONSTANT_DTYPES = ("int8", "int16", "int32", "int64")
_BIAS_DTYPE = {"int8": "int32", "int16": "int64"}
# Schema values: ActivationFunctionType and TensorType.
_FUSED: dict[Activation, int] = {"none": 0, "relu": 1}
_BIAS_TYPE_CODE = {"int32": 2, "int64": 4}
# Stride 1, no dilation, padding "SAME".
_SAME_SIZE = {
    "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 0,
}  # fmt: skip
# Scale and zero point the specification fixes.
_LOGISTIC_OUTPUT = {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)}
_TANH_OUTPUT = {"int8": (1 / 128, 0), "int16": (1 / 32768, 0)}
_SOFTMAX_OUTPUT = _LOGISTIC_OUTPUT
# First operator version whose kernel takes these activations (TensorFlow's op_version.cc).
_VERSION = {
    "ADD": {"int8": 2, "int16": 3},
    "BATCH_MATMUL": {"int8": 2, "int16": 3},
    "CONCATENATION": {"int8": 2, "int16": 3},
    "CONV_2D": {"int8": 3, "int16": 4},
    "DEPTHWISE_CONV_2D": {"int8": 3, "int16": 5},
    "FULLY_CONNECTED": {"int8": 4, "int16": 11},
    "LOGISTIC": {"int8": 2, "int16": 3},
    "MAXIMUM": {"int8": 2, "int16": 4},
    "MEAN": {"int8": 2, "int16": 3},
    "MINIMUM": {"int8": 2, "int16": 4},
    "MUL": {"int8": 2, "int16": 4},
    "QUANTIZE": {"int8": 1, "int16": 2},
    "RESHAPE": {"int8": 1, "int16": 1},
    "SOFTMAX": {"int8": 2, "int16": 3},
    "SPLIT": {"int8": 2, "int16": 4},
    "STRIDED_SLICE": {"int8": 2, "int16": 1},
    "SUB": {"int8": 2, "int16": 5},
    "TANH": {"int8": 2, "int16": 3},
    "TRANSPOSE": {"int8": 2, "int16": 4},
}


class GraphError(InputError):
    """A tensor or operator the TFLite integer specification forbids; the text names the tensor."""


@dataclass(frozen=True)
class Tensor:
    """A quantized tensor: real value = scale * (stored integer - zero_point).

    `scale` is already rounded to float32, the precision the file keeps and every runtime derives
    its multipliers from.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    index: int


class Graph:
    """One integer subgraph, built in execution order: inputs, constants, operators, outputs.

    Activations are int8 (any zero point) or int16 (zero point 0). Every method raises `GraphError`
    naming the tensor when a shape, type, scale or zero point is not allowed.

    `widening` says how `quantize` goes from int8 to int16. "quantize" is one operator, which TFLite
    Micro and Vela accept and the TFLite interpreter refuses. "float" is DEQUANTIZE then QUANTIZE,
    which both interpreters accept and Vela leaves to the CPU. The integers are the same.
    """

    def __init__(self, name: str, widening: Widening = "quantize") -> None:
        if widening not in get_args(Widening):
            raise GraphError(f"{name}: widening {widening!r}; expected one of {get_args(Widening)}")
        self.name = name
        self._widening = widening
        self._file = TfliteFile(name)
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, NDArray[np.integer]] = {}
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._metadata: list[str] = []

    def input(
        self, name: str, shape: Sequence[int], dtype: DTypeLike, scale: float, zero_point: int = 0
    ) -> Tensor:
        """Declare a model input of type int8 or int16."""
        tensor = self._activation(name, tuple(shape), np.dtype(dtype).name, scale, zero_point)
        self._inputs.append(name)
        self._file.add_input(tensor.index)
        return tensor

    def output(self, tensor: Tensor) -> Tensor:
        """Declare an operator's result a model output; its name becomes the signature key."""
        self._check_known(tensor)
        if tensor.name in (*self._inputs, *self._outputs, *self._constants):
            raise self._error(f"output {tensor.name!r} is already an input, output or constant")
        self._outputs.append(tensor.name)
        self._file.add_output(tensor.index)
        return tensor

    def constant(
        self, name: str, array: NDArray[np.integer], scale: float, zero_point: int = 0
    ) -> Tensor:
        """Store int8 (any zero point), int16, int32 or int64 (zero point 0) values."""
        if array.dtype.name not in _CONSTANT_DTYPES or array.size == 0:
            raise self._error(
                f"constant {name!r} is {array.dtype.name}{list(array.shape)}; expected a "
                f"non-empty array of {', '.join(_CONSTANT_DTYPES)}"
            )
        tensor = self._tensor(name, array.shape, array.dtype.name, scale, zero_point, array)
        self._constants[name] = array
        return tensor

    def metadata(self, name: str, content: bytes) -> None:
        """Attach `content` (for example a model card) to the file under `name`."""
        if not name or name in self._metadata:
            raise self._error(f"metadata name {name!r} is empty or already used")
        self._metadata.append(name)
        self._file.add_metadata(name, content)

    def fully_connected(
        self,
        x: Tensor,
        weights: Tensor,
        bias: Tensor,
        *,
        name: str,
        scale: float,
        zero_point: int = 0,
        activation: Activation = "none",
    ) -> Tensor:
        """y[batch, out] = activation(x[batch, in] @ weights[out, in].T + bias[out]), typed as x.

        `weights` are constant int8 in -127..127 with zero point 0; `bias` is constant int32 for
        int8 activations and int64 for int16, with scale x.scale * weights.scale.
        """
        self._check_constants(name, x, weights, bias, rank=2)
        channels, fan_in = weights.shape
        if len(x.shape) != 2 or x.shape[1] != fan_in:
            raise self._error(
                f"{name!r} multiplies {x.name!r} {list(x.shape)} by {weights.name!r} "
                f"{list(weights.shape)}; expected [batch, {fan_in}]"
            )
        y = self._activation(name, (x.shape[0], channels), x.dtype, scale, zero_point)
        self._operator(
            "FULLY_CONNECTED",
            (x, weights, bias),
            (y,),
            fusedActivationFunction=_FUSED[activation],
            quantizedBiasType=_BIAS_TYPE_CODE[bias.dtype],
        )
        return y

    def convolution(
        self,
        x: Tensor,
        weights: Tensor,
        bias: Tensor,
        *,
        name: str,
        scale: float,
        zero_point: int = 0,
        activation: Activation = "none",
    ) -> Tensor:
        """Convolve x[batch, height, width, in] with weights[out, rows, columns, in].

        Stride 1, zeros around the edges so that height and width stay; otherwise as
        `fully_connected`.
        """
        self._check_constants(name, x, weights, bias, rank=4)
        if len(x.shape) != 4 or x.shape[3] != weights.shape[3]:
            raise self._error(
                f"{name!r} convolves {x.name!r} {list(x.shape)} with {weights.name!r} "
                f"{list(weights.shape)}; expected [batch, height, width, {weights.shape[3]}]"
            )
        y = self._activation(name, (*x.shape[:3], weights.shape[0]), x.dtype, scale, zero_point)
        self._operator(
            "CONV_2D",
            (x, weights, bias),
            (y,),
            fusedActivationFunction=_FUSED[activation],
            **_SAME_SIZE,
        )
        return y

    def depthwise_convolution(
        self,
        x: Tensor,
        weights: Tensor,
        bias: Tensor,
        *,
        name: str,
        scale: float,
        zero_point: int = 0,
        activation: Activation = "none",
        stride: int = 1,
    ) -> Tensor:
        """Convolve every channel by itself: weights[1, rows, columns, channels].

        `stride` is along the width, which becomes so many times smaller.
        """
        self._check_constants(name, x, weights, bias, rank=4, channel_axis=3)
        if len(x.shape) != 4 or x.shape[3] != weights.shape[3] or weights.shape[0] != 1:
            raise self._error(
                f"{name!r} convolves {x.name!r} {list(x.shape)} with {weights.name!r} "
                f"{list(weights.shape)}; expected [batch, height, width, channels] and "
                "[1, rows, columns, channels]"
            )
        batch, height, width, channels = x.shape
        shape = (batch, height, -(-width // stride), channels)
        y = self._activation(name, shape, x.dtype, scale, zero_point)
        self._operator(
            "DEPTHWISE_CONV_2D",
            (x, weights, bias),
            (y,),
            depthMultiplier=1,
            fusedActivationFunction=_FUSED[activation],
            **(_SAME_SIZE | {"strideW": stride}),
        )
        return y

    def reshape(self, x: Tensor, shape: Sequence[int], *, name: str) -> Tensor:
        """The same values in another shape."""
        if math.prod(shape) != math.prod(x.shape):
            raise self._error(f"{name!r} reshapes {x.name!r} {list(x.shape)} to {list(shape)}")
        y = self._activation(name, tuple(shape), x.dtype, x.scale, x.zero_point)
        self._operator(
            "RESHAPE", (x, self._indices(f"{name}/shape", list(shape))), (y,), newShape=list(shape)
        )
        return y

    def transpose(self, x: Tensor, order: Sequence[int], *, name: str) -> Tensor:
        """Axis k of the result is axis ``order[k]`` of `x`."""
        if sorted(order) != list(range(len(x.shape))):
            raise self._error(f"{name!r} orders {x.name!r} {list(x.shape)} by {list(order)}")
        shape = tuple(x.shape[axis] for axis in order)
        y = self._activation(name, shape, x.dtype, x.scale, x.zero_point)
        self._operator("TRANSPOSE", (x, self._indices(f"{name}/order", order)), (y,))
        return y

    def concatenation(self, tensors: Sequence[Tensor], *, name: str, axis: int = -1) -> Tensor:
        """Join tensors of one type and quantization along `axis`."""
        first = tensors[0]
        if not -len(first.shape) <= axis < len(first.shape):
            raise self._error(f"{name!r} joins {first.name!r} {list(first.shape)} on axis {axis}")
        axis %= len(first.shape)
        for tensor in tensors:
            self._check_same_quantization(name, first, tensor)
            if _without(tensor.shape, axis) != _without(first.shape, axis):
                raise self._error(
                    f"{name!r} joins {tensor.name!r} {list(tensor.shape)} to {first.name!r} "
                    f"{list(first.shape)} on axis {axis}"
                )
        shape = list(first.shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        y = self._activation(name, tuple(shape), first.dtype, first.scale, first.zero_point)
        self._operator("CONCATENATION", tensors, (y,), axis=axis, fusedActivationFunction=0)
        return y

    def slice(self, x: Tensor, begin: int, end: int, *, name: str, axis: int = -1) -> Tensor:
        """Take [begin:end] of an axis, the last one as it is; the NPU reads it in place."""
        axis %= len(x.shape)
        if not 0 <= begin < end <= x.shape[axis]:
            raise self._error(f"{name!r} takes [{begin}:{end}] of {x.name!r} {list(x.shape)}")
        shape, first, last = list(x.shape), [0] * len(x.shape), list(x.shape)
        shape[axis], first[axis], last[axis] = end - begin, begin, end
        y = self._activation(name, tuple(shape), x.dtype, x.scale, x.zero_point)
        bounds = {"begin": first, "end": last, "strides": [1] * len(x.shape)}
        # Other axes whole, whatever batch the input is resized to.
        others = ((1 << len(x.shape)) - 1) & ~(1 << axis)
        self._operator(
            "STRIDED_SLICE",
            (x, *(self._indices(f"{name}/{part}", values) for part, values in bounds.items())),
            (y,),
            beginMask=others,
            endMask=others,
        )
        return y

    def split(self, x: Tensor, *, names: Sequence[str]) -> tuple[Tensor, ...]:
        """Cut the last axis of `x` into `len(names)` equal parts; the NPU reads them in place."""
        width, rest = divmod(x.shape[-1], len(names))
        if rest:
            raise self._error(f"{x.name!r} {list(x.shape)} does not split into {len(names)} parts")
        parts = tuple(
            self._activation(name, (*x.shape[:-1], width), x.dtype, x.scale, x.zero_point)
            for name in names
        )
        axis = self._indices(f"{names[0]}/axis", len(x.shape) - 1)
        self._operator("SPLIT", (axis, x), parts, numSplits=len(names))
        return parts

    def logistic(self, x: Tensor, *, name: str) -> Tensor:
        """Sigmoid; the output is fixed to scale 1/256, zero point -128 (int16: 1/32768, 0)."""
        y = self._activation(name, x.shape, x.dtype, *_LOGISTIC_OUTPUT[x.dtype])
        self._operator("LOGISTIC", (x,), (y,))
        return y

    def tanh(self, x: Tensor, *, name: str) -> Tensor:
        """Hyperbolic tangent; the output is fixed to scale 1/128 (int16: 1/32768), zero point 0."""
        y = self._activation(name, x.shape, x.dtype, *_TANH_OUTPUT[x.dtype])
        self._operator("TANH", (x,), (y,))
        return y

    def softmax(self, x: Tensor, *, name: str) -> Tensor:
        """Over the last axis; the output's scale and zero point are fixed, as `logistic`'s."""
        y = self._activation(name, x.shape, x.dtype, *_SOFTMAX_OUTPUT[x.dtype])
        self._operator("SOFTMAX", (x,), (y,), beta=1.0)
        return y

    def batch_matmul(
        self,
        a: Tensor,
        b: Tensor,
        *,
        name: str,
        scale: float,
        zero_point: int = 0,
        transposed: bool = False,
    ) -> Tensor:
        """y[..., n, m] = a[..., n, k] @ b[..., k, m], or b[..., m, k] if `transposed`."""
        depth, columns = (b.shape[-1], b.shape[-2]) if transposed else b.shape[-2:]
        if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != depth or a.dtype != b.dtype:
            raise self._error(
                f"{name!r} multiplies {a.name!r} {a.dtype}{list(a.shape)} by {b.name!r} "
                f"{b.dtype}{list(b.shape)}"
            )
        shape = (*a.shape[:-1], columns)
        y = self._activation(name, shape, a.dtype, scale, zero_point)
        self._operator("BATCH_MATMUL", (a, b), (y,), adjX=False, adjY=transposed)
        return y

    def mean(
        self,
        x: Tensor,
        axes: Sequence[int],
        *,
        name: str,
        scale: float,
        zero_point: int = 0,
    ) -> Tensor:
        """Mean over some axes, which go."""
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        y = self._activation(name, shape, x.dtype, scale, zero_point)
        self._operator("MEAN", (x, self._indices(f"{name}/axes", axes)), (y,), keepDims=False)
        return y

    def quantize(
        self, x: Tensor, *, name: str, dtype: DTypeLike, scale: float, zero_point: int = 0
    ) -> Tensor:
        """Requantize `x` to another scale, zero point or type (int8 or int16).

        From int8 to int16, x.scale / scale must be a power of two from 1 to 256: only then are the
        two forms of `Graph.widening` the same integers.
        """
        y = self._activation(name, x.shape, np.dtype(dtype).name, scale, zero_point)
        if (x.dtype, y.dtype) != ("int8", "int16"):
            self._operator("QUANTIZE", (x,), (y,))
            return y
        ratio = x.scale / y.scale
        if ratio not in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            raise self._error(
                f"{name!r} widens {x.name!r} by {ratio}; expected a power of two from 1 to 256"
            )
        if self._widening == "quantize":
            self._operator("QUANTIZE", (x,), (y,))
        else:
            real = self._file.add_tensor(f"{name}/real", x.shape, "float32", None)
            self._file.add_operator("DEQUANTIZE", 2, (x.index,), (real,))
            self._file.add_operator("QUANTIZE", 2, (real,), (y.index,))
        return y

    def add(
        self,
        a: Tensor,
        b: Tensor,
        *,
        name: str,
        scale: float,
        zero_point: int = 0,
        activation: Activation = "none",
    ) -> Tensor:
        """Elementwise activation(a + b), requantized and saturated."""
        y = self._elementwise(name, a, b, scale, zero_point)
        # potScaleInt16=False: any int16 scales, not only powers of two.
        fused = _FUSED[activation]
        self._operator("ADD", (a, b), (y,), fusedActivationFunction=fused, potScaleInt16=False)
        return y

    def sub(self, a: Tensor, b: Tensor, *, name: str, scale: float, zero_point: int = 0) -> Tensor:
        """Elementwise a - b, requantized and saturated."""
        y = self._elementwise(name, a, b, scale, zero_point)
        self._operator("SUB", (a, b), (y,), fusedActivationFunction=0, potScaleInt16=False)
        return y

    def mul(self, a: Tensor, b: Tensor, *, name: str, scale: float, zero_point: int = 0) -> Tensor:
        """Elementwise a * b, requantized and saturated."""
        y = self._elementwise(name, a, b, scale, zero_point)
        self._operator("MUL", (a, b), (y,), fusedActivationFunction=0)
        return y

    def minimum(self, a: Tensor, b: Tensor, *, name: str) -> Tensor:
        """Elementwise minimum of two tensors of one quantization, which the output keeps."""
        self._check_same_quantization(name, a, b)
        y = self._elementwise(name, a, b, a.scale, a.zero_point)
        self._operator("MINIMUM", (a, b), (y,))
        return y

    def maximum(self, a: Tensor, b: Tensor, *, name: str) -> Tensor:
        """Elementwise maximum of two tensors of one quantization, which the output keeps."""
        self._check_same_quantization(name, a, b)
        y = self._elementwise(name, a, b, a.scale, a.zero_point)
        self._operator("MAXIMUM", (a, b), (y,))
        return y

    def to_bytes(self) -> bytes:
        """Serialize the model; the bytes depend on the calls made and on nothing else."""
        if not self._inputs or not self._outputs:
            raise self._error("a graph needs at least one input and one output")
        return self._file.to_bytes()

    def _check_constants(
        self,
        name: str,
        x: Tensor,
        weights: Tensor,
        bias: Tensor,
        rank: int,
        channel_axis: int = 0,
    ) -> None:
        if not {weights.name, bias.name} <= self._constants.keys():
            raise self._error(f"{name!r} needs constant weights and bias")
        if weights.dtype != "int8" or weights.zero_point or len(weights.shape) != rank:
            raise self._error(
                f"weights {weights.name!r} are {weights.dtype}{list(weights.shape)} with zero "
                f"point {weights.zero_point}; expected int8 of {rank} axes with 0"
            )
        if self._constants[weights.name].min() == -128:
            raise self._error(f"weights {weights.name!r} hold -128; expected -127..127")
        channels, bias_dtype = weights.shape[channel_axis], _BIAS_DTYPE[x.dtype]
        if bias.dtype != bias_dtype or bias.shape != (channels,):
            raise self._error(
                f"bias {bias.name!r} is {bias.dtype}{list(bias.shape)}; expected "
                f"{bias_dtype}[{channels}] for {x.dtype} activations"
            )
        if not math.isclose(bias.scale, x.scale * weights.scale, rel_tol=1e-6):
            raise self._error(
                f"bias {bias.name!r} has scale {bias.scale}; expected {x.name!r} * "
                f"{weights.name!r} = {x.scale * weights.scale}"
            )

    def _elementwise(
        self, name: str, a: Tensor, b: Tensor, scale: float, zero_point: int
    ) -> Tensor:
        spreads = len(b.shape) <= len(a.shape) and all(
            size in (1, whole) for size, whole in zip(b.shape[::-1], a.shape[::-1])
        )
        if not spreads or a.dtype != b.dtype:
            raise self._error(
                f"{name!r} combines {a.name!r} {a.dtype}{list(a.shape)} with {b.name!r} "
                f"{b.dtype}{list(b.shape)}; expected one type and shape, or axes of 1 in the second"
            )
        return self._activation(name, a.shape, a.dtype, scale, zero_point)

    def _activation(
        self, name: str, shape: tuple[int, ...], dtype: str, scale: float, zero_point: int
    ) -> Tensor:
        if dtype not in ("int8", "int16"):
            raise self._error(f"{name!r} is {dtype}; activations are int8 or int16")
        if not shape or min(shape) < 1:
            raise self._error(f"{name!r} has shape {list(shape)}; expected every axis >= 1")
        return self._tensor(name, shape, dtype, scale, zero_point)

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        scale: float,
        zero_point: int,
        content: NDArray[np.integer] | None = None,
    ) -> Tensor:
        if not name or name in self._tensors:
            raise self._error(f"tensor name {name!r} is empty or already used")
        stored_scale = float(np.float32(scale))
        if not (math.isfinite(stored_scale) and stored_scale > 0):
            raise self._error(f"{name!r} has scale {scale}; expected finite and > 0")
        low, high = (-128, 127) if dtype == "int8" else (0, 0)
        if not low <= zero_point <= high:
            raise self._error(f"{name!r} has zero point {zero_point}; {dtype} allows {low}..{high}")
        index = self._file.add_tensor(name, shape, dtype, (stored_scale, zero_point), content)
        tensor = Tensor(name, shape, dtype, stored_scale, zero_point, index)
        self._tensors[name] = tensor
        return tensor

    def _indices(self, name: str, values: Sequence[int] | int) -> Tensor:
        """An operator's index argument: int32 without quantization, never seen by the caller."""
        array = np.array(values, np.int32)
        index = self._file.add_tensor(name, array.shape, "int32", None, array)
        tensor = Tensor(name, array.shape, "int32", 0.0, 0, index)
        self._tensors[name] = tensor
        return tensor

    def _operator(
        self, op: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], **options: object
    ) -> None:
        for tensor in inputs:
            self._check_known(tensor)
        self._file.add_operator(
            op,
            _VERSION[op][outputs[0].dtype],
            [tensor.index for tensor in inputs],
            [tensor.index for tensor in outputs],
            **options,
        )

    def _check_known(self, tensor: Tensor) -> None:
        if self._tensors.get(tensor.name) is not tensor:
            raise self._error(f"{tensor.name!r} belongs to another graph")

    def _check_same_quantization(self, name: str, a: Tensor, b: Tensor) -> None:
        if (a.dtype, a.scale, a.zero_point) != (b.dtype, b.scale, b.zero_point):
            raise self._error(
                f"{name!r} needs one quantization; {a.name!r} is {a.dtype} ({a.scale}, "
                f"{a.zero_point}), {b.name!r} is {b.dtype} ({b.scale}, {b.zero_point})"
            )

    def _error(self, problem: str) -> GraphError:
        return GraphError(f"{self.name}: {problem}")


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]
