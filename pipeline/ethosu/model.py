"""Loads what Vela wrote: a `.tflite` holding `ethos-u` operators, or its raw `.npz` output.

In a `.tflite`, the operator's constant inputs are the driver payload and the read-only data, then
come the scratch tensors and the model's own inputs; where inputs and outputs live inside the
scratch area is said by the OfflineMemoryAllocation metadata that TFLite Micro's planner obeys.
Variable tensors keep their contents between inferences; they are operands marked as such.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ethosu.vela.tflite import Model as model_schema
from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.TensorType import TensorType

from .errors import CpuOperatorError, ModelError
from .file_kinds import MALFORMED, archive_names, damage, require_tflite
from .npu import NPUS
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
_TYPE_NAMES = {value: name for name, value in vars(TensorType).items() if name.isupper()}
_ENDS = {"QUANTIZE", "DEQUANTIZE"}
_COMPILE = "vela model.tflite --accelerator-config ethos-u55-128"


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
    """A compiled model: driver payload, constants, memory sizes in bytes, and its interface.

    `variables` hold state between inferences; they start at their zero point.
    """

    driver_payload: bytes
    read_only: bytes
    scratch_bytes: int
    scratch_fast_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    variables: tuple[TensorSpec, ...] = ()

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
        ModelError: the file is damaged or was not compiled by Vela; a path is named.
    """
    if isinstance(source, bytes):
        return _checked(source)
    try:
        return _checked(Path(source).read_bytes())
    except ModelError as error:
        raise type(error)(f"{source}: {error}") from error


def load_npu_operators(data: bytes) -> tuple[VelaModel, ...]:
    """One model for each `ethos-u` operator of a compiled `.tflite`, whatever lies between them.

    Inputs and outputs are the operator's own; they keep the tensor names of the model.

    Raises:
        ModelError: the file is damaged, or was not compiled for the Ethos-U55.
    """
    try:
        graph = _CompiledGraph(data)
        models = tuple(
            graph.load(operator, graph.operands_of(operator), _indices(operator.OutputsAsNumpy()))
            for operator in graph.npu_operators
        )
    except MALFORMED as error:
        raise damage(error) from error
    for model in models:
        _check(model)
    return models


def lost_outputs(data: bytes) -> tuple[str, ...]:
    """Outputs that a compiled `.tflite` does not compute: Vela fused what makes them away.

    Raises:
        ModelError: the file is damaged, or was not compiled by Vela.
    """
    try:
        return _CompiledGraph(data).lost_outputs()
    except MALFORMED as error:
        raise damage(error) from error


def _checked(data: bytes) -> VelaModel:
    try:
        is_raw = data[:2] == b"PK" and "scratch_size.npy" in archive_names(data)
        model = _load_raw(data) if is_raw else _load_tflite(data)
    except MALFORMED as error:
        raise damage(error) from error
    _check(model)
    return model


def _check(model: VelaModel) -> None:
    if model.accelerator not in NPUS:
        raise ModelError(f"compiled for {model.accelerator}, expected {', '.join(NPUS)}")
    sizes = (len(model.read_only), model.scratch_bytes, model.scratch_fast_bytes)
    for spec in model.inputs + model.outputs + model.variables:
        if min(spec.shape, default=1) < 1:
            raise ModelError(f"tensor {spec.name} has shape {list(spec.shape)}")
        if not 0 <= spec.region < len(sizes) or not (
            0 <= spec.offset <= sizes[spec.region] - spec.size_bytes
        ):
            raise ModelError(f"tensor {spec.name} lies outside region {spec.region}")


def _load_tflite(data: bytes) -> VelaModel:
    graph = _CompiledGraph(data)
    if graph.cpu_operators:
        raise CpuOperatorError(_cpu_message(graph.cpu_operators))
    if len(graph.npu_operators) != 1:
        raise ModelError(
            f"has {len(graph.npu_operators)} ethos-u operators, expected 1: run python -m "
            "pipeline.check on the uncompiled model, which takes them one by one"
        )
    return graph.load(graph.npu_operators[0], graph.inputs, graph.outputs)


def _cpu_message(names: Sequence[str]) -> str:
    listed = ", ".join(sorted(set(names)))
    message = f"{len(names)} operators run on the CPU, not the NPU: {listed}; "
    if set(names) <= _ENDS:
        return message + (
            "its ends are not of the NPU's integer types: convert with inference_input_type and "
            "inference_output_type tf.int8, or run python -m pipeline.check on the uncompiled "
            "model, which cuts such ends off"
        )
    return message + (
        "replace them by operators the Ethos-U55 has; python -m pipeline.check on the uncompiled "
        "model says why each stays on the CPU and proves the rest"
    )


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names in order; one that came before gets its count, as in x, x#2, x#3."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(result)


def _indices(values: Any) -> list[int]:
    return [int(index) for index in np.atleast_1d(values)]


class _CompiledGraph:
    """The one subgraph of a compiled `.tflite` and where its tensors lie in the arena."""

    def __init__(self, data: bytes) -> None:
        require_tflite(data)
        self._model = model_schema.Model.GetRootAs(data, 0)
        if self._model.SubgraphsLength() != 1:
            raise ModelError(
                f"has {self._model.SubgraphsLength()} subgraphs, expected 1: export one signature "
                "without control flow (IF, WHILE, CALL_ONCE) and compile it again"
            )
        self._graph = self._model.Subgraphs(0)
        self.inputs = _indices(self._graph.InputsAsNumpy())
        self.outputs = _indices(self._graph.OutputsAsNumpy())
        self.npu_operators, self.cpu_operators = self._operators(len(data))
        offsets = _arena_offsets(self._model)
        if offsets is None:
            raise ModelError(
                f"was not compiled for the NPU ({len(self.cpu_operators)} TFLite operators, no "
                f"Vela metadata): run {_COMPILE}, then give the file it writes"
            )
        self._offsets = offsets

    def _operators(self, file_bytes: int) -> tuple[list[Any], list[str]]:
        count = self._graph.OperatorsLength()
        if count > file_bytes:
            raise ModelError(f"model claims {count} operators")
        npu_operators, cpu_names = [], []
        for index in range(count):
            operator = self._graph.Operators(index)
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            custom = code.CustomCode()
            if builtin == _CUSTOM_OPERATOR and custom == b"ethos-u":
                npu_operators.append(operator)
            elif custom:
                cpu_names.append(custom.decode())
            else:
                cpu_names.append(_BUILTIN_NAMES.get(builtin, str(builtin)))
        return npu_operators, cpu_names

    def operands_of(self, operator: Any) -> list[int]:
        """What the operator reads of the model: not its constants, scratch and variables."""
        operands = _indices(operator.InputsAsNumpy())[_FIXED_INPUTS:]
        return [
            i for i in operands if self._offsets[i] >= 0 and not self._graph.Tensors(i).IsVariable()
        ]

    def lost_outputs(self) -> tuple[str, ...]:
        """Outputs of the model that have no place in memory, described."""
        return tuple(self._describe(index) for index in self.outputs if self._offsets[index] < 0)

    def load(self, operator: Any, inputs: list[int], outputs: list[int]) -> VelaModel:
        """One operator with the given tensors as its interface."""
        graph, model = self._graph, self._model
        operands = _indices(operator.InputsAsNumpy())
        if len(operands) < _FIXED_INPUTS:
            raise ModelError(f"ethos-u operator has {len(operands)} inputs, expected at least 4")
        payload, read_only = (_buffer(model, graph.Tensors(i)) for i in operands[:2])
        scratch_bytes = _scratch_bytes(graph.Tensors(operands[2]))
        shared = operands[3] == operands[2]
        fast_bytes = 0 if shared else _scratch_bytes(graph.Tensors(operands[3]))
        base = self._offsets[operands[2]]
        fast_base = None if shared else self._offsets[operands[3]]

        def spec(index: int) -> TensorSpec:
            return self._spec(index, base, fast_base, fast_bytes)

        touched = operands[_FIXED_INPUTS:] + _indices(operator.OutputsAsNumpy())
        kept = [i for i in touched if graph.Tensors(i).IsVariable()]
        outputs = [i for i in outputs if i not in kept]
        self._require_place(inputs, "no operator reads it; take it out of the model's inputs")
        self._require_place(
            outputs,
            "Vela fused the operator that makes it into the next one; take it out of the model's "
            "outputs, or end the model in an operator of its own for it",
        )
        variables = {(s.region, s.offset, s.shape, s.dtype): s for s in map(spec, kept)}
        return VelaModel(
            driver_payload=payload,
            read_only=read_only,
            scratch_bytes=scratch_bytes,
            scratch_fast_bytes=fast_bytes,
            inputs=_uniquely_named(map(spec, inputs)),
            outputs=_uniquely_named(map(spec, outputs)),
            variables=_uniquely_named(variables.values()),
        )

    def _require_place(self, indices: list[int], reason: str) -> None:
        for index in indices:
            if self._offsets[index] < 0:
                raise ModelError(f"{self._describe(index)} has no place in memory: {reason}")

    def _describe(self, index: int) -> str:
        tensor = self._graph.Tensors(index)
        kind = _TYPE_NAMES.get(tensor.Type(), str(tensor.Type()))
        shape = _indices(tensor.ShapeAsNumpy()) if tensor.ShapeLength() else []
        return f"tensor {(tensor.Name() or b'').decode(errors='replace')!r} ({kind}, {shape})"

    def _spec(self, index: int, base: int, fast_base: int | None, fast_bytes: int) -> TensorSpec:
        tensor = self._graph.Tensors(index)
        if tensor.Type() not in _DTYPES:
            names = ", ".join(_TYPE_NAMES[kind] for kind in _DTYPES)
            raise ModelError(f"{self._describe(index)} is not of a type the NPU has: {names}")
        quantization = tensor.Quantization()
        has_scale = quantization is not None and quantization.ScaleLength()
        has_zero = quantization is not None and quantization.ZeroPointLength()
        offset = self._offsets[index]
        in_fast = fast_base is not None and fast_base <= offset < fast_base + fast_bytes
        return TensorSpec(
            name=(tensor.Name() or b"").decode(errors="replace"),
            shape=tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else (),
            dtype=np.dtype(_DTYPES[tensor.Type()]),
            scale=float(quantization.Scale(0)) if has_scale else 0.0,
            zero_point=int(quantization.ZeroPoint(0)) if has_zero else 0,
            region=SCRATCH_FAST_REGION if in_fast else SCRATCH_REGION,
            offset=offset - (fast_base if in_fast and fast_base is not None else base),
        )


def _uniquely_named(specs: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    specs = tuple(specs)
    names = unique_names(spec.name for spec in specs)
    return tuple(replace(spec, name=name) for spec, name in zip(specs, names, strict=True))


def _buffer(model: Any, tensor: Any) -> bytes:
    data = model.Buffers(tensor.Buffer()).DataAsNumpy()
    return b"" if isinstance(data, int) else bytes(data.tobytes())


def _scratch_bytes(tensor: Any) -> int:
    size = math.prod(int(n) for n in np.atleast_1d(tensor.ShapeAsNumpy()))
    if not 0 <= size <= _MAX_SCRATCH_BYTES:
        raise ModelError(f"scratch area of {size} bytes, expected at most {_MAX_SCRATCH_BYTES}")
    return size


def _arena_offsets(model: Any) -> dict[int, int] | None:
    """Tensor index -> byte offset in the arena, -1 if it is not there; None without Vela's list."""
    for index in range(min(model.MetadataLength(), 64)):
        metadata = model.Metadata(index)
        if metadata.Name() == b"OfflineMemoryAllocation":
            words = model.Buffers(metadata.Buffer()).DataAsNumpy().view("<i4")
            return {i: int(offset) for i, offset in enumerate(words[_METADATA_HEADER_WORDS:])}
    return None


def _load_raw(data: bytes) -> VelaModel:
    """Vela's `--output-format raw`; it keeps no names, so tensors are input0, output0, ..."""
    try:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        sizes = [int(archive[key]) for key in ("scratch_size", "scratch_fast_size")]
        if max(sizes) > _MAX_SCRATCH_BYTES or min(sizes) < 0:
            raise ModelError(f"scratch areas of {sizes} bytes")
        if "variable_shape" in archive and len(archive["variable_shape"]):
            raise ModelError(
                "has variable tensors, and raw output keeps no zero points to start them at: "
                "compile it to .tflite"
            )
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
