"""Serialization of one TFLite subgraph: what `flatbuffer.Graph` decided, as bytes.

Nothing is checked here; `Graph` is the public face.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

# The kernels read constants as int32 or int64 words, and the Ethos-U wants 16-byte addresses.
_BUFFER_ALIGNMENT_BYTES = 16
_SCHEMA_VERSION = 3
# Options tables that are not called as the operator is.
_OPTIONS = {"BATCH_MATMUL": "BatchMatMulOptions", "MEAN": "ReducerOptions"}


@cache
def schema() -> ModuleType:
    """The generated schema bindings; importing them loads TensorFlow, which takes seconds."""
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated  # type: ignore[no-any-return]


class TfliteFile:
    """Records in the order they were added; tensors and buffers are named by their index."""

    def __init__(self, name: str) -> None:
        self._graph = schema().SubGraphT()
        self._graph.name = name
        self._graph.inputs, self._graph.outputs = [], []
        self._graph.tensors, self._graph.operators = [], []
        self._buffers = [_aligned_buffer(b"")]  # TFLite reserves buffer 0 for "no data".
        self._opcodes: list[tuple[str, int]] = []
        self._metadata: list[Any] = []

    def add_tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        quantization: tuple[float, int] | None,
        content: NDArray[np.generic] | None = None,
    ) -> int:
        """Add a tensor (scale and zero point, or None), with its values if it is a constant."""
        record = schema().TensorT()
        record.name = name
        record.shape = list(shape)
        record.type = getattr(schema().TensorType, dtype.upper())
        record.buffer = 0
        if content is not None:
            little_endian = content.astype(content.dtype.newbyteorder("<"), order="C")
            record.buffer = self._add_buffer(little_endian.tobytes())
        if quantization is not None:
            record.quantization = schema().QuantizationParametersT()
            record.quantization.scale = [quantization[0]]
            record.quantization.zeroPoint = [quantization[1]]
        self._graph.tensors.append(record)
        return len(self._graph.tensors) - 1

    def add_operator(
        self,
        name: str,
        version: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        **options: object,
    ) -> None:
        """Add builtin operator `name`; `options` are fields of the schema's `...Options` table."""
        if (name, version) not in self._opcodes:
            self._opcodes.append((name, version))
        record = schema().OperatorT()
        record.opcodeIndex = self._opcodes.index((name, version))
        record.inputs, record.outputs = list(inputs), list(outputs)
        if options:
            table = _OPTIONS.get(name) or name.title().replace("_", "") + "Options"
            record.builtinOptionsType = getattr(schema().BuiltinOptions, table)
            record.builtinOptions = getattr(schema(), table + "T")(**options)
        self._graph.operators.append(record)

    def add_input(self, tensor: int) -> None:
        self._graph.inputs.append(tensor)

    def add_output(self, tensor: int) -> None:
        self._graph.outputs.append(tensor)

    def add_metadata(self, name: str, content: bytes) -> None:
        record = schema().MetadataT()
        record.name, record.buffer = name, self._add_buffer(content)
        self._metadata.append(record)

    def to_bytes(self) -> bytes:
        model = schema().ModelT()
        model.version = _SCHEMA_VERSION
        model.description = self._graph.name
        model.subgraphs = [self._graph]
        model.buffers = self._buffers
        model.operatorCodes = [_operator_code(*opcode) for opcode in self._opcodes]
        model.signatureDefs = [self._signature()]
        model.metadata = self._metadata
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _add_buffer(self, content: bytes) -> int:
        self._buffers.append(_aligned_buffer(content))
        return len(self._buffers) - 1

    def _signature(self) -> Any:
        def entries(tensors: list[int]) -> list[Any]:
            return [
                schema().TensorMapT(name=self._graph.tensors[tensor].name, tensorIndex=tensor)
                for tensor in tensors
            ]

        return schema().SignatureDefT(
            signatureKey="serving_default",
            inputs=entries(self._graph.inputs),
            outputs=entries(self._graph.outputs),
        )


def _operator_code(name: str, version: int) -> Any:
    code = getattr(schema().BuiltinOperator, name)
    # Readers older than the 32-bit field look at the 8-bit one; all our operators fit both.
    return schema().OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=version)


def _aligned_buffer(content: bytes) -> Any:
    """A buffer record whose bytes start on `_BUFFER_ALIGNMENT_BYTES`.

    The schema asks for it (`force_align: 16`), but its Python bindings align bytes to one.
    """

    class AlignedBufferT(schema().BufferT):  # type: ignore[misc]
        def Pack(self, builder: flatbuffers.Builder) -> int:
            if not content:
                return int(super().Pack(builder))
            builder.StartVector(1, len(content), _BUFFER_ALIGNMENT_BYTES)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
            schema().BufferStart(builder)
            schema().BufferAddData(builder, data)
            return int(schema().BufferEnd(builder))

    return AlignedBufferT()
