"""What a TFLite model's constant tensors hold: zeros and distinct values, as stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ethosu.vela.tflite.Model import Model
from ethosu.vela.tflite.TensorType import TensorType

_DTYPES = {TensorType.INT8: "<i1", TensorType.UINT8: "<u1", TensorType.INT16: "<i2"}
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
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    zeros: int
    distinct_values: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def sparsity(self) -> float:
        """Share of zeros."""
        return self.zeros / self.elements


def weight_tensors(content: bytes) -> tuple[WeightTensor, ...]:
    """Every constant 8- or 16-bit tensor of two dimensions or more that an operator reads."""
    model = Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    read = dict.fromkeys(
        int(index)
        for number in range(graph.OperatorsLength())
        for index in np.atleast_1d(graph.Operators(number).InputsAsNumpy())
        if index >= 0
    )
    found = (_statistics(model, graph.Tensors(index)) for index in read)
    return tuple(tensor for tensor in found if tensor is not None)


def _statistics(model: Any, tensor: Any) -> WeightTensor | None:
    buffer = model.Buffers(tensor.Buffer())
    if not buffer.DataLength() or tensor.Type() not in _DTYPES:
        return None
    shape = tuple(int(n) for n in np.atleast_1d(tensor.ShapeAsNumpy()))
    values = buffer.DataAsNumpy().view(_DTYPES[tensor.Type()])
    if len(shape) < _WEIGHT_RANK or values.size != math.prod(shape) or not values.size:
        return None
    quantization = tensor.Quantization()
    has_zero = quantization is not None and quantization.ZeroPointLength() == 1
    zero = int(quantization.ZeroPoint(0)) if has_zero else 0
    return WeightTensor(
        name=(tensor.Name() or b"").decode(errors="replace"),
        shape=shape,
        dtype=values.dtype.name,
        zeros=int(np.count_nonzero(values == zero)),
        distinct_values=len(np.unique(values)),
    )
