"""Loads what Vela wrote: a `.tflite` holding one `ethos-u` operator, or its raw `.npz` output.

In a `.tflite`, the operator's constant inputs are the driver payload and the read-only data, then
come the scratch tensors and the model's own inputs; where inputs and outputs live inside the
scratch area is said by the OfflineMemoryAllocation metadata that TFLite Micro's planner obeys.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ethosu.vela.tflite import Model as model_schema
from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.TensorType import TensorType

from .accelerator import ACCELERATORS
from .errors import CpuOperatorError, ModelError
from .stream import parse_driver_payload

READ_ONLY_REGION, SCRATCH_REGION, SCRATCH_FAST_REGION = 0, 1, 2
_FIXED_INPUTS = 4  # driver payload, read-only data, scratch, fast scratch
_METADATA_HEADER_WORDS = 3
_MAX_SCRATCH_BYTES = 1 << 28
_DTYPES = {
    TensorType.INT8: "<i1",
    TensorType.UINT8: "<u1",
    TensorType.INT16: "<i2",
    TensorType.INT32: "<i4",
}
_CUSTOM_OPERATOR = 32
_BUILTIN_NAMES = {value: name for name, value in vars(BuiltinOperator).items() if name.isupper()}
_MALFORMED = (
    struct.error, AttributeError, IndexError, ValueError, TypeError, KeyError, OverflowError,
    MemoryError,
)  # fmt: skip


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: `shape` in elements, `offset` in bytes from the start of `region`.

    `scale` is 0.0 where the file holds no quantization.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int
    region: int
    offset: int

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class VelaModel:
    """A compiled model: driver payload, constants, memory sizes in bytes, and its interface."""

    driver_payload: bytes
    read_only: bytes
    scratch_bytes: int
    scratch_fast_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def command_words(self) -> tuple[int, ...]:
        """The 32-bit words the NPU reads."""
        return parse_driver_payload(self.driver_payload).words

    @property
    def accelerator(self) -> str:
        """The configuration it was compiled for, e.g. "ethos-u55-128"."""
        return f"ethos-u55-{parse_driver_payload(self.driver_payload).macs_per_cycle}"


def load_vela_model(source: str | Path | bytes) -> VelaModel:
    """Loads a Vela-compiled `.tflite` or raw `.npz`, from a path or from bytes.

    Raises:
        CpuOperatorError: operators are left that the NPU does not run; they are named.
        ModelError: the file is damaged or was not compiled by Vela.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        model = _load_raw(data) if data[:2] == b"PK" else _load_tflite(data)
    except _MALFORMED as error:
        raise ModelError(f"damaged model file: {error!r}") from error
    if model.accelerator not in ACCELERATORS:
        raise ModelError(f"compiled for {model.accelerator}, expected {', '.join(ACCELERATORS)}")
    for spec in model.inputs + model.outputs:
        if min(spec.shape, default=1) < 1:
            raise ModelError(f"tensor {spec.name} has shape {list(spec.shape)}")
        sizes = (len(model.read_only), model.scratch_bytes, model.scratch_fast_bytes)
        if not 0 <= spec.region < len(sizes) or not (
            0 <= spec.offset <= sizes[spec.region] - spec.size_bytes
        ):
            raise ModelError(f"tensor {spec.name} lies outside region {spec.region}")
    return model


def _load_tflite(data: bytes) -> VelaModel:
    if data[4:8] != b"TFL3":
        raise ModelError("not a TFLite file: identifier TFL3 is missing")
    model = model_schema.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() != 1:
        raise ModelError(f"model has {model.SubgraphsLength()} subgraphs, expected 1")
    graph = model.Subgraphs(0)
    operator = _npu_operator(model, graph, len(data))
    operands = [int(i) for i in operator.InputsAsNumpy()]
    if len(operands) < _FIXED_INPUTS:
        raise ModelError(f"ethos-u operator has {len(operands)} inputs, expected at least 4")
    payload, read_only = (_buffer(model, graph.Tensors(i)) for i in operands[:2])
    scratch_bytes = _scratch_bytes(graph.Tensors(operands[2]))
    shared = operands[3] == operands[2]
    fast_bytes = 0 if shared else _scratch_bytes(graph.Tensors(operands[3]))
    offsets = _arena_offsets(model)
    base = offsets[operands[2]]
    fast_base = None if shared else offsets[operands[3]]

    def spec(index: int) -> TensorSpec:
        tensor = graph.Tensors(index)
        if tensor.Type() not in _DTYPES:
            raise ModelError(f"tensor {index} has unsupported type {tensor.Type()}")
        quantization = tensor.Quantization()
        has_scale = quantization is not None and quantization.ScaleLength()
        has_zero = quantization is not None and quantization.ZeroPointLength()
        offset = offsets[index]
        in_fast = fast_base is not None and fast_base <= offset < fast_base + fast_bytes
        return TensorSpec(
            name=(tensor.Name() or b"").decode(errors="replace"),
            shape=tuple(int(n) for n in tensor.ShapeAsNumpy()),
            dtype=np.dtype(_DTYPES[tensor.Type()]),
            scale=float(quantization.Scale(0)) if has_scale else 0.0,
            zero_point=int(quantization.ZeroPoint(0)) if has_zero else 0,
            region=SCRATCH_FAST_REGION if in_fast else SCRATCH_REGION,
            offset=offset - (fast_base if in_fast and fast_base is not None else base),
        )

    inputs, outputs = graph.InputsAsNumpy(), graph.OutputsAsNumpy()
    return VelaModel(
        driver_payload=payload,
        read_only=read_only,
        scratch_bytes=scratch_bytes,
        scratch_fast_bytes=fast_bytes,
        inputs=tuple(spec(int(i)) for i in inputs),
        outputs=tuple(spec(int(i)) for i in outputs),
    )


def _npu_operator(model: Any, graph: Any, file_bytes: int) -> Any:
    count = graph.OperatorsLength()
    if count > file_bytes:
        raise ModelError(f"model claims {count} operators")
    npu_operators, cpu_names = [], []
    for index in range(count):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if builtin == _CUSTOM_OPERATOR and code.CustomCode() == b"ethos-u":
            npu_operators.append(operator)
        else:
            custom = code.CustomCode()
            cpu_names.append(
                custom.decode() if custom else _BUILTIN_NAMES.get(builtin, str(builtin))
            )
    if cpu_names:
        names = ", ".join(sorted(set(cpu_names)))
        raise CpuOperatorError(f"{len(cpu_names)} operators run on the CPU, not the NPU: {names}")
    if len(npu_operators) != 1:
        raise ModelError(f"model has {len(npu_operators)} ethos-u operators, expected 1")
    return npu_operators[0]


def _buffer(model: Any, tensor: Any) -> bytes:
    data = model.Buffers(tensor.Buffer()).DataAsNumpy()
    return b"" if isinstance(data, int) else bytes(data.tobytes())


def _scratch_bytes(tensor: Any) -> int:
    size = math.prod(int(n) for n in np.atleast_1d(tensor.ShapeAsNumpy()))
    if not 0 <= size <= _MAX_SCRATCH_BYTES:
        raise ModelError(f"scratch area of {size} bytes, expected at most {_MAX_SCRATCH_BYTES}")
    return size


def _arena_offsets(model: Any) -> dict[int, int]:
    """Tensor index -> byte offset in the arena, -1 for tensors that are not in it."""
    for index in range(min(model.MetadataLength(), 64)):
        metadata = model.Metadata(index)
        if metadata.Name() == b"OfflineMemoryAllocation":
            words = model.Buffers(metadata.Buffer()).DataAsNumpy().view("<i4")
            return {i: int(offset) for i, offset in enumerate(words[_METADATA_HEADER_WORDS:])}
    raise ModelError("no OfflineMemoryAllocation metadata: was this file compiled by Vela?")


def _load_raw(data: bytes) -> VelaModel:
    """Vela's `--output-format raw`; it keeps no names, so tensors are input0, output0, ..."""
    try:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        sizes = [int(archive[key]) for key in ("scratch_size", "scratch_fast_size")]
        if max(sizes) > _MAX_SCRATCH_BYTES or min(sizes) < 0:
            raise ModelError(f"scratch areas of {sizes} bytes")
        return VelaModel(
            driver_payload=archive["cmd_data"].tobytes(),
            read_only=archive["weight_data"].tobytes(),
            scratch_bytes=sizes[0],
            scratch_fast_bytes=sizes[1],
            inputs=_raw_specs(archive, "input"),
            outputs=_raw_specs(archive, "output"),
        )
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ModelError(f"damaged archive: {error}") from error


def _raw_specs(archive: Any, kind: str) -> tuple[TensorSpec, ...]:
    columns = [archive[f"{kind}_{field}"] for field in ("shape", "elem_size", "region", "offset")]
    return tuple(
        TensorSpec(
            name=f"{kind}{index}",
            shape=tuple(int(n) for n in shape),
            dtype=np.dtype({1: "<i1", 2: "<i2", 4: "<i4"}[int(element_bytes)]),
            scale=0.0,
            zero_point=0,
            region=int(region),
            offset=int(offset),
        )
        for index, (shape, element_bytes, region, offset) in enumerate(zip(*columns, strict=True))
    )
