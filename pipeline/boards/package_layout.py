"""The model package byte for byte, described by docs/firmware-reference.md, read by firmware/model.

A header, a table of sections, and the sections, each on 16 bytes; little-endian throughout; a
CRC-32 over all that follows it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from enum import IntEnum

import numpy as np

from pipeline.boards.memory_timing import MemoryTiming
from pipeline.dsp import FRAME_SAMPLES, HOP_SAMPLES, RATE_HZ, FrontEnd, band_matrix
from pipeline.dsp.frontend import CLIP_DEVIATIONS, POWER_COMPRESSION
from pipeline.runners import Array, Delayed, ModelInterface, TargetError, TensorSpec

MAGIC = b"SEMP"
VERSION = 1
_ALIGNMENT = 16
_FEATURE_LIMIT = 1.0
_TYPE_CODES = {
    np.dtype(np.int32): 2,
    np.dtype(np.uint8): 3,
    np.dtype(np.int16): 7,
    np.dtype(np.int8): 9,
}
# As many of each role as the firmware has room for.
_MAX_TENSORS = 8
_MAX_DELAY = 1024
_HEADER = struct.Struct("<4sIHHI")
_CHECKED_HEADER = struct.Struct("<HHI")
_SECTION = struct.Struct("<IIII")
_FRONT_END = struct.Struct("<IIIIIffI")
_TENSOR = struct.Struct("<BBHIfiIIII")
_DELAY = struct.Struct("<HHIII")
_NPU_JOB = struct.Struct("<IIII")
_GOLDEN = struct.Struct("<IIII")
_TIMING_ADAPTER = struct.Struct("<8I")


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
    DELAYS = 9
    PACKED_WEIGHTS = 10


class _Role(IntEnum):
    INPUT = 0
    OUTPUT = 1
    STATE_IN = 2
    STATE_OUT = 3
    VARIABLE = 4
    DELAYED_IN = 5
    FRAME_OUT = 6
    GATE = 7


class WeightsPlacement(IntEnum):
    """Where the NPU reads the weights: where the package lies, or SRAM after one copy at boot."""

    FLASH = 0
    SRAM_AT_BOOT = 1


def front_end(front_end: FrontEnd) -> bytes:
    """The constants of `pipeline.dsp`, bands as runs of FFT bins."""
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
        front_end.conditioned,
    )
    vectors = (front_end.mean, 1 / deviation, 1 / matrix.sum(axis=0), weights)
    floats = b"".join(np.asarray(vector, "<f4").tobytes() for vector in vectors)
    return header + floats + first.tobytes() + count.tobytes()


@dataclass(frozen=True)
class Roles:
    """Names of a model's tensors by what the firmware does with them, in their order.

    `frames` are outputs that are kept for the inputs `delayed`.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    states: tuple[str, ...]
    delayed: tuple[Delayed, ...] = ()
    frames: tuple[str, ...] = ()
    gate: tuple[str, ...] = ()


def tensors(
    model: ModelInterface,
    roles: Roles,
    arena_offsets: Mapping[str, int],
    variables: Mapping[str, TensorSpec],
) -> bytes:
    """A record for each tensor, role after role.

    Raises:
        TargetError: a tensor of a type the firmware does not know, or too many of one role.
    """

    def records(role: _Role, side: Mapping[str, TensorSpec], names: Iterable[str]) -> bytes:
        return b"".join(record(role, index, side, name) for index, name in enumerate(names))

    def record(role: _Role, index: int, side: Mapping[str, TensorSpec], name: str) -> bytes:
        spec = side[name]
        if index == _MAX_TENSORS:
            kind = role.name.lower().replace("_", " ")
            raise TargetError(f"{name!r} is {kind} {index + 1}; the firmware has room for {index}")
        if spec.dtype not in _TYPE_CODES:
            known = ", ".join(str(dtype) for dtype in _TYPE_CODES)
            raise TargetError(f"tensor {name!r} is {spec.dtype}; expected one of {known}")
        return _TENSOR.pack(
            role,
            _TYPE_CODES[spec.dtype],
            index,
            spec.size_bytes,
            spec.scale,
            spec.zero_point,
            arena_offsets.get(name, 0),
            list(side).index(name),
            0,
            0,
        )

    return b"".join(
        (
            records(_Role.INPUT, model.inputs, roles.inputs),
            records(_Role.OUTPUT, model.outputs, roles.outputs),
            records(_Role.STATE_IN, model.inputs, roles.states),
            records(_Role.STATE_OUT, model.outputs, (f"{name}_next" for name in roles.states)),
            records(_Role.VARIABLE, variables, variables),
            records(_Role.DELAYED_IN, model.inputs, (item.input for item in roles.delayed)),
            records(_Role.FRAME_OUT, model.outputs, roles.frames),
            records(_Role.GATE, model.outputs, roles.gate),
        )
    )


def delays(model: ModelInterface, roles: Roles) -> bytes:
    """Where each earlier frame goes, input after input.

    Raises:
        TargetError: a delay beyond what the firmware keeps.
    """
    content = b""
    for index, item in enumerate(roles.delayed):
        is_output = item.source in roles.frames
        spec = (model.outputs if is_output else model.inputs)[item.source]
        source = 1 + roles.frames.index(item.source) if is_output else 0
        row_bytes = spec.shape[-1] * spec.dtype.itemsize
        for position, delay in enumerate(item.delays):
            if delay > _MAX_DELAY:
                raise TargetError(
                    f"{item.input!r}: {delay} hops ago; the firmware keeps {_MAX_DELAY}"
                )
            content += _DELAY.pack(index, source, delay, position * row_bytes, row_bytes)
    return content


def npu_job(architecture: int, config: int, arena_bytes: int, placement: WeightsPlacement) -> bytes:
    """ID and CONFIG registers the stream was compiled for, and the memory it needs."""
    return _NPU_JOB.pack(architecture, config, arena_bytes, placement)


def golden(features: Array, mask: Array) -> bytes:
    """Stored features and mask, [T, bands] each."""
    return _GOLDEN.pack(len(features), 0, 0, 0) + features.tobytes() + mask.tobytes()


def memory_timing(timing: MemoryTiming) -> bytes:
    """Registers of the adapter of AXI port 0, then of port 1."""
    return b"".join(_TIMING_ADAPTER.pack(*astuple(port)) for port in (timing.axi0, timing.axi1))


def assemble(sections: Mapping[Section, bytes]) -> bytes:
    """The whole package."""
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
