"""What a TFLite model's constant tensors hold: zeros and distinct values, as stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.Model import Model
from ethosu.vela.tflite.TensorType import TensorType

from .file_kinds import MALFORMED, damage

_DTYPES = {TensorType.INT8: "<i1", TensorType.UINT8: "<u1", TensorType.INT16: "<i2"}
_CONVOLUTIONS = {
    BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D, BuiltinOperator.TRANSPOSE_CONV,
}  # fmt: skip
_WEIGHT_RANK = 2  # Biases, tables of sizes and scalars have fewer dimensions.


@dataclass(frozen=True)
class WeightTensor:
    """One weight tensor; a zero is a value at the tensor's zero point.

    Attributes:
        name: the tensor's.
        shape: in elements, as the file has it.
        dtype: NumPy's name.
        zeros: how many elements are zero.
        distinct_values: how many different values there are.
        is_offset: a convolution's, with a zero point other than 0, which TFLite's int8 kernels take
            for 0 and Vela subtracts.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    zeros: int
    distinct_values: int
    is_offset: bool

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """Share of zeros."""
        return self.zeros / self.elements


def weight_tensors(content: bytes) -> tuple[WeightTensor, ...]:
    """Every constant 8- or 16-bit tensor of two dimensions or more that an operator reads.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        return _weight_tensors(content)
    except MALFORMED as error:
        raise damage(error) from error


def _weight_tensors(content: bytes) -> tuple[WeightTensor, ...]:
    model = Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    readers: dict[int, set[int]] = {}
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        for index in np.atleast_1d(operator.InputsAsNumpy()):
            readers.setdefault(int(index), set()).add(builtin)
    found = (
        _statistics(model, graph.Tensors(index), bool(codes & _CONVOLUTIONS))
        for index, codes in readers.items()
        if index >= 0
    )
    return tuple(tensor for tensor in found if tensor is not None)


def _statistics(model: Any, tensor: Any, of_convolution: bool) -> WeightTensor | None:
    buffer = model.Buffers(tensor.Buffer())
    if not buffer.DataLength() or tensor.Type() not in _DTYPES:
        return None
    shape = tuple(int(n) for n in np.atleast_1d(tensor.ShapeAsNumpy()))
    values = buffer.DataAsNumpy().view(_DTYPES[tensor.Type()])
    if len(shape) < _WEIGHT_RANK or values.size != math.prod(shape) or not values.size:
        return None
    quantization = tensor.Quantization()
    has_zeros = quantization is not None and quantization.ZeroPointLength()
    zeros = np.atleast_1d(quantization.ZeroPointAsNumpy()) if has_zeros else np.zeros(1, int)
    zero = int(zeros[0]) if len(zeros) == 1 else 0
    return WeightTensor(
        name=(tensor.Name() or b"").decode(errors="replace"),
        shape=shape,
        dtype=values.dtype.name,
        zeros=int(np.count_nonzero(values == zero)),
        distinct_values=len(np.unique(values)),
        is_offset=of_convolution and bool(np.any(zeros)),
    )
