"""The weights inside any TFLite file: what a target stores, whoever made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.Model import Model
from ethosu.vela.tflite.TensorType import TensorType
from numpy.typing import NDArray

# Operators whose second input is their weights.
_MULTIPLIERS = {
    BuiltinOperator.CONV_2D,
    BuiltinOperator.DEPTHWISE_CONV_2D,
    BuiltinOperator.FULLY_CONNECTED,
    BuiltinOperator.TRANSPOSE_CONV,
}
_DTYPES: dict[int, np.dtype[Any]] = {
    TensorType.FLOAT32: np.dtype("<f4"),
    TensorType.INT8: np.dtype("<i1"),
    TensorType.UINT8: np.dtype("<u1"),
    TensorType.INT16: np.dtype("<i2"),
}


@dataclass(frozen=True)
class WeightTensor:
    """A constant something multiplies by, as stored, and the zero point it is stored around."""

    name: str
    values: NDArray[Any]
    zero_point: int

    @property
    def zeros(self) -> float:
        """Share of elements whose real value is 0."""
        return float(np.mean(self.values == self.zero_point))

    @property
    def distinct(self) -> int:
        """How many distinct values there are."""
        return len(np.unique(self.values))


def weight_tensors(tflite: bytes) -> Iterator[WeightTensor]:
    """Every constant weight tensor of every subgraph, in the order of the operators, each once."""
    model = Model.GetRootAs(tflite, 0)
    for subgraph in (model.Subgraphs(k) for k in range(model.SubgraphsLength())):
        seen = set()
        for operator in (subgraph.Operators(k) for k in range(subgraph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            if builtin not in _MULTIPLIERS or operator.Inputs(1) in seen:
                continue
            seen.add(operator.Inputs(1))
            tensor = subgraph.Tensors(operator.Inputs(1))
            content = model.Buffers(tensor.Buffer()).DataAsNumpy()
            if isinstance(content, np.ndarray) and tensor.Type() in _DTYPES:
                quantization = tensor.Quantization()
                has_zero_point = quantization is not None and quantization.ZeroPointLength()
                yield WeightTensor(
                    tensor.Name().decode("utf-8", "replace"),
                    content.view(_DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy()),
                    int(quantization.ZeroPoint(0)) if has_zero_point else 0,
                )
