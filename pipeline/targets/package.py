"""The model package: a model with all that is specific to it, in the form the firmware reads.

Layout (docs/firmware.md): a header, a section table and sections aligned to 16 bytes, little-endian
throughout, protected by a CRC-32. Reader: firmware/model/package.cpp.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

import numpy as np

from pipeline.dsp import FRAME_SAMPLES, HOP_SAMPLES, RATE_HZ, FrontEnd, band_matrix
from pipeline.dsp.frontend import CLIP_DEVIATIONS, POWER_COMPRESSION
from pipeline.ethosu.model import SCRATCH_REGION, VelaModel
from pipeline.targets import Array, HopModel, Runner, TargetError, TensorSpec

MAGIC = b"SEMP"
VERSION = 1
_HEADER = struct.Struct("<4sIHHI")
_CHECKED_HEADER = struct.Struct("<HHI")
_SECTION = struct.Struct("<IIII")
_FRONT_END = struct.Struct("<IIIIIffI")
_TENSOR = struct.Struct("<BBHIfiIIII")
_NPU_JOB = struct.Struct("<IIII")
_ALIGNMENT = 16
_FEATURE_LIMIT = 1.0
_TYPE_CODES = {np.dtype(np.int16): 7, np.dtype(np.int8): 9}
# Driver action OPTIMIZER_CONFIG: the CONFIG and ID registers Vela compiled for follow its tag.
_CONFIG_ACTION_WORD, _CONFIG_ACTION = 1, 0x01


class Section(IntEnum):
    """Kinds of section; a package holds each at most once."""

    FRONT_END = 1
    TENSORS = 2
    NPU_JOB = 3
    NPU_STREAM = 4
    NPU_WEIGHTS = 5
    TFLITE = 6
    GOLDEN = 7
    MEMORY_TIMING = 8


class _Role(IntEnum):
    FEATURES = 0
    MASK = 1
    STATE_IN = 2
    STATE_OUT = 3


class WeightsPlacement(IntEnum):
    """Where the NPU reads the weights: where the package lies, or SRAM after one copy at boot."""

    FLASH = 0
    SRAM_AT_BOOT = 1


@dataclass(frozen=True)
class TimingAdapter:
    """Timing of the memory behind one AXI port of the NPU on FPGA and FVP.

    Latencies and pulses are NPU cycles; the port moves at most `words_per_period` 64-bit words in
    `cycles_on + cycles_off` cycles. 0 pending transactions means no limit.
    """

    pending_reads: int
    pending_writes: int
    pending_transactions: int
    read_latency_cycles: int
    write_latency_cycles: int
    cycles_on: int
    cycles_off: int
    words_per_period: int


@dataclass(frozen=True)
class MemoryTiming:
    """The memory system the NPU should see: AXI port 0 is SRAM, port 1 is flash."""

    axi0: TimingAdapter
    axi1: TimingAdapter


# Arm's published adapter settings for the systems Vela's configuration file calls
# Ethos_U55_High_End_Embedded (ML Embedded Evaluation Kit, ta_config_u55_high_end.cmake).
HIGH_END_EMBEDDED = MemoryTiming(
    axi0=TimingAdapter(8, 8, 0, 32, 32, 3999, 1, 4000),
    axi1=TimingAdapter(2, 0, 0, 64, 0, 320, 80, 50),
)


@dataclass(frozen=True)
class GoldenHops:
    """Hops to replay on the device, from the zero state: stored features and mask [T, bands]."""

    features: Array
    mask: Array


@dataclass(frozen=True)
class ModelPackage:
    """A package, and the tensors that go into and come out of its network."""

    content: bytes
    features: TensorSpec
    mask: TensorSpec


@dataclass(frozen=True)
class _Interface:
    """Inputs and outputs by name, as a runner has them."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


def pack_npu_model(
    model: VelaModel,
    front_end: FrontEnd,
    *,
    placement: WeightsPlacement,
    golden: GoldenHops | None = None,
    memory_timing: MemoryTiming | None = None,
) -> ModelPackage:
    """Package a model that Vela mapped to the NPU as a whole, for the firmware's `npu` engine.

    Raises:
        TargetError: tensors outside the arena, a second scratch area, unsupported types, or
            features and golden hops that do not fit the front end.
    """
    if model.scratch_fast_bytes:
        raise TargetError(
            f"the model needs {model.scratch_fast_bytes} bytes of separate fast scratch memory; "
            "compile it with a memory mode that has one arena (Sram_Only or Shared_Sram)"
        )
    tensors = (*model.inputs, *model.outputs)
    outside = [spec.name for spec in tensors if spec.region != SCRATCH_REGION]
    if outside:
        raise TargetError(f"tensors {outside} are not in the arena")
    config, architecture = _compiled_for(model)
    job = _NPU_JOB.pack(architecture, config, model.scratch_bytes, placement)
    offsets = {spec.name: spec.offset for spec in tensors}
    sections = {
        Section.NPU_JOB: job,
        Section.NPU_STREAM: np.array(model.command_words, "<u4").tobytes(),
        Section.NPU_WEIGHTS: model.read_only,
    }
    interface = _Interface(_specs(model.inputs), _specs(model.outputs))
    return _pack(interface, offsets, front_end, sections, golden, memory_timing)


def pack_tflite_model(
    content: bytes,
    interface: Runner,
    front_end: FrontEnd,
    *,
    golden: GoldenHops | None = None,
    memory_timing: MemoryTiming | None = None,
) -> ModelPackage:
    """Package a TFLite file for the firmware's `tflm` engine.

    Args:
        content: the `.tflite` file, compiled by Vela or not.
        interface: any runner of the same model; its inputs and outputs are in the file's order.
        front_end: of the model.
        golden: hops to replay.
        memory_timing: for FPGA and FVP.

    Raises:
        TargetError: as `pack_npu_model`.
    """
    sections = {Section.TFLITE: content}
    return _pack(interface, {}, front_end, sections, golden, memory_timing)


def _compiled_for(model: VelaModel) -> tuple[int, int]:
    """CONFIG and ID register values Vela assumed."""
    words = np.frombuffer(model.driver_payload[: 4 * (_CONFIG_ACTION_WORD + 3)], "<u4")
    if len(words) < _CONFIG_ACTION_WORD + 3 or words[_CONFIG_ACTION_WORD] & 0xFF != _CONFIG_ACTION:
        raise TargetError("the driver payload does not begin with the NPU's configuration")
    return int(words[_CONFIG_ACTION_WORD + 1]), int(words[_CONFIG_ACTION_WORD + 2])


def _specs(tensors: Any) -> dict[str, TensorSpec]:
    return {
        spec.name: TensorSpec(spec.name, spec.shape, spec.dtype, spec.scale, spec.zero_point)
        for spec in tensors
    }


def _pack(
    interface: Runner | _Interface,
    arena_offsets: Mapping[str, int],
    front_end: FrontEnd,
    form: Mapping[Section, bytes],
    golden: GoldenHops | None,
    memory_timing: MemoryTiming | None,
) -> ModelPackage:
    roles = HopModel.of(cast(Runner, interface))
    features, mask = interface.inputs[roles.features], interface.outputs[roles.mask]
    for spec in (features, mask):
        if int(np.prod(spec.shape)) != front_end.bands:
            raise TargetError(
                f"{spec.name!r} is {spec.dtype}{list(spec.shape)}; the front end has "
                f"{front_end.bands} bands"
            )
    sections = {
        Section.FRONT_END: _front_end(front_end),
        Section.TENSORS: _tensors(interface, roles, arena_offsets),
        **{kind: content for kind, content in form.items() if content},
    }
    if golden is not None:
        sections[Section.GOLDEN] = _golden(golden, features, mask)
    if memory_timing is not None:
        sections[Section.MEMORY_TIMING] = _memory_timing(memory_timing)
    return ModelPackage(_assemble(sections), features, mask)


def _front_end(front_end: FrontEnd) -> bytes:
    matrix = band_matrix(front_end.bands)
    covered = [np.flatnonzero(column) for column in matrix.T]
    first = np.array([bins[0] for bins in covered], "<u2")
    count = np.array([bins[-1] + 1 - bins[0] for bins in covered], "<u2")
    weights = np.concatenate(
        [matrix[start : start + n, band] for band, (start, n) in enumerate(zip(first, count))]
    )
    deviation = np.float32(CLIP_DEVIATIONS) * front_end.deviation
    header = _FRONT_END.pack(
        RATE_HZ,
        FRAME_SAMPLES,
        HOP_SAMPLES,
        front_end.bands,
        len(weights),
        POWER_COMPRESSION,
        _FEATURE_LIMIT,
        0,
    )
    vectors = (front_end.mean, 1 / deviation, 1 / matrix.sum(axis=0), weights)
    floats = b"".join(np.asarray(vector, "<f4").tobytes() for vector in vectors)
    return header + floats + first.tobytes() + count.tobytes()


def _tensors(
    interface: Runner | _Interface, roles: HopModel, arena_offsets: Mapping[str, int]
) -> bytes:
    def record(role: _Role, state: int, name: str) -> bytes:
        is_input = role in (_Role.FEATURES, _Role.STATE_IN)
        side = interface.inputs if is_input else interface.outputs
        spec = side[name]
        if spec.dtype not in _TYPE_CODES:
            raise TargetError(f"tensor {name!r} is {spec.dtype}; expected int8 or int16")
        return _TENSOR.pack(
            role,
            _TYPE_CODES[spec.dtype],
            state,
            int(np.prod(spec.shape)) * spec.dtype.itemsize,
            spec.scale,
            spec.zero_point,
            arena_offsets.get(name, 0),
            list(side).index(name),
            0,
            0,
        )

    records = [
        record(_Role.FEATURES, 0, roles.features),
        record(_Role.MASK, 0, roles.mask),
    ]
    for index, state in enumerate(roles.states):
        records.append(record(_Role.STATE_IN, index, state))
        records.append(record(_Role.STATE_OUT, index, f"{state}_next"))
    return b"".join(records)


def _golden(golden: GoldenHops, features: TensorSpec, mask: TensorSpec) -> bytes:
    for spec, values in ((features, golden.features), (mask, golden.mask)):
        expected = (len(golden.features), int(np.prod(spec.shape)))
        if values.dtype != spec.dtype or values.shape != expected:
            raise TargetError(
                f"golden {spec.name} are {values.dtype}{list(values.shape)}; "
                f"expected {spec.dtype}{list(expected)}"
            )
    header = struct.pack("<IIII", len(golden.features), 0, 0, 0)
    return header + golden.features.tobytes() + golden.mask.tobytes()


def _memory_timing(timing: MemoryTiming) -> bytes:
    ports = (timing.axi0, timing.axi1)
    return b"".join(struct.pack("<8I", *vars(port).values()) for port in ports)


def _assemble(sections: Mapping[Section, bytes]) -> bytes:
    offset = _padded(_HEADER.size + _SECTION.size * len(sections))
    table = b""
    body = b""
    start = offset
    for kind, content in sorted(sections.items()):
        table += _SECTION.pack(kind, start + len(body), len(content), 0)
        body += content.ljust(_padded(len(content)), b"\0")
    payload = table.ljust(offset - _HEADER.size, b"\0") + body
    size = _HEADER.size + len(payload)
    checked = _CHECKED_HEADER.pack(VERSION, len(sections), size) + payload
    return MAGIC + struct.pack("<I", zlib.crc32(checked)) + checked


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
