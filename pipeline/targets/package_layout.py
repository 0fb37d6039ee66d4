"""The model package byte for byte, as docs/firmware.md describes and firmware/model reads it.

A header, a table of sections, and the sections, each on 16 bytes; little-endian throughout; a
CRC-32 over all that follows it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from enum import IntEnum

import numpy as np

from pipeline.dsp import FRAME_SAMPLES, HOP_SAMPLES, RATE_HZ, FrontEnd, band_matrix
from pipeline.dsp.frontend import CLIP_DEVIATIONS, POWER_COMPRESSION
from pipeline.targets import Array, ModelInterface, TargetError, TensorSpec
from pipeline.targets.memory_timing import MemoryTiming

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
_HEADER = struct.Struct("<4sIHHI")
_CHECKED_HEADER = struct.Struct("<HHI")
_SECTION = struct.Struct("<IIII")
_FRONT_END = struct.Struct("<IIIIIffI")
_TENSOR = struct.Struct("<BBHIfiIIII")
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


class _Role(IntEnum):
    INPUT = 0
    OUTPUT = 1
    STATE_IN = 2
    STATE_OUT = 3
    VARIABLE = 4


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


def tensors(
    model: ModelInterface,
    states: Sequence[str],
    arena_offsets: Mapping[str, int],
    variables: Mapping[str, TensorSpec],
) -> bytes:
    """A record for each tensor: inputs and outputs in order, states in pairs, variables.

    Raises:
        TargetError: a tensor of a type the firmware does not know, or too many of them.
    """
    fed_back = [f"{state}_next" for state in states]
    inputs = [name for name in model.inputs if name not in states]
    outputs = [name for name in model.outputs if name not in fed_back]
    for kind, names in (
        ("inputs", inputs),
        ("outputs", outputs),
        ("states", list(states)),
        ("variables", list(variables)),
    ):
        if len(names) > _MAX_TENSORS:
            raise TargetError(f"{len(names)} {kind}; the firmware takes at most {_MAX_TENSORS}")

    def record(role: _Role, index: int, side: Mapping[str, TensorSpec], name: str) -> bytes:
        spec = side[name]
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

    records = [record(_Role.INPUT, i, model.inputs, name) for i, name in enumerate(inputs)]
    records += [record(_Role.OUTPUT, i, model.outputs, name) for i, name in enumerate(outputs)]
    for index, (state, following) in enumerate(zip(states, fed_back, strict=True)):
        records.append(record(_Role.STATE_IN, index, model.inputs, state))
        records.append(record(_Role.STATE_OUT, index, model.outputs, following))
    records += [record(_Role.VARIABLE, i, variables, name) for i, name in enumerate(variables)]
    return b"".join(records)


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
