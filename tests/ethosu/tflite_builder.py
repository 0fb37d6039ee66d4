"""Builds small int8/int16 TFLite graphs as flatbuffers, with chosen scales and zero points.

Going through Keras and a converter would take a second per graph and never yield odd zero points
or scales; here a graph takes microseconds and every quantization parameter is ours to choose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

_TENSOR_TYPE = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "float32": schema.TensorType.FLOAT32,
}


@dataclass
class GraphBuilder:
    """Accumulates tensors and operators of one subgraph; `build` returns the `.tflite` bytes."""

    _tensors: list[Any] = field(default_factory=list)
    _buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    _operators: list[Any] = field(default_factory=list)
    _codes: list[int] = field(default_factory=list)

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: str,
        scale: float | np.ndarray | None = None,
        zero_point: int = 0,
        data: np.ndarray | None = None,
        channel_axis: int = 0,
        is_variable: bool = False,
    ) -> int:
        """Adds a tensor; `scale` may be an array, one per channel along `channel_axis`."""
        tensor = schema.TensorT()
        tensor.shape = list(shape)
        tensor.type = _TENSOR_TYPE[dtype]
        tensor.name = f"t{len(self._tensors)}"
        tensor.isVariable = is_variable
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scales.tolist()
            tensor.quantization.zeroPoint = [zero_point] * len(scales)
            tensor.quantization.quantizedDimension = channel_axis if len(scales) > 1 else 0
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def scale_of(self, tensor: int) -> float:
        """Per-tensor scale, rounded to float32 as the file stores it."""
        return float(self._tensors[tensor].quantization.scale[0])

    def quantization_of(self, tensor: int) -> tuple[float, int]:
        """Per-tensor scale and zero point."""
        return self.scale_of(tensor), int(self._tensors[tensor].quantization.zeroPoint[0])

    def shape_of(self, tensor: int) -> tuple[int, ...]:
        """Shape in elements."""
        return tuple(self._tensors[tensor].shape)

    def operator(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        options: str | None = None,
        intermediates: list[int] | None = None,
        **fields: Any,
    ) -> None:
        """Adds operator `name` (e.g. "CONV_2D") with `options` (e.g. "Conv2DOptions") set."""
        code = getattr(schema.BuiltinOperator, name)
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs = inputs
        operator.outputs = outputs
        operator.intermediates = intermediates
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for key, value in fields.items():
                if not hasattr(operator.builtinOptions, key):
                    raise AttributeError(f"{options} has no field {key}")
                setattr(operator.builtinOptions, key, value)
        self._operators.append(operator)

    def build(self, inputs: list[int], outputs: list[int], subgraphs: int = 1) -> bytes:
        """Serializes the graph, with as many equal signature-free subgraphs as asked for."""
        subgraph = schema.SubGraphT()
        subgraph.tensors = self._tensors
        subgraph.operators = self._operators
        subgraph.inputs = inputs
        subgraph.outputs = outputs
        subgraph.name = "main"
        model = schema.ModelT()
        model.version = 3
        model.subgraphs = [subgraph] * subgraphs
        model.buffers = self._buffers
        model.operatorCodes = []
        for code in self._codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode = code
            entry.deprecatedBuiltinCode = min(code, 127)
            entry.version = 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
