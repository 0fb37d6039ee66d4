"""Runs one NPU job the way the driver starts it: a command stream, base pointers, shared memory.

This is what a virtual board calls. Memory belongs to the caller and is reached through absolute
addresses. The areas a stream touches are fetched, the stream is executed on the copies, and every
byte the stream may have written is stored back. A stream seen before keeps its decoded weights;
they are compared with memory at every job, so a change there is never missed.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from .cost import Counters, cost_program
from .errors import AddressError, ModelError
from .executor import Executor
from .memory import Bytes, RegionMemory, feature_map_parts
from .memory_system import MemorySystem, memory_system
from .npu import Npu, get_npu
from .operations import ByteRange, FeatureMap, Operation
from .program import build_program
from .stream import decode_commands

_MAX_JOB_BYTES = 1 << 28
_CACHED_JOBS = 8


class Memory(Protocol):
    """Absolute addresses of the machine the NPU sits in; both may raise on unmapped addresses."""

    def read(self, address: int, size_bytes: int) -> bytes: ...

    def write(self, address: int, content: bytes) -> None: ...


@dataclass(frozen=True)
class NpuConfig:
    """The NPU and the memories behind it; the latter only shape the counters."""

    accelerator: str = "ethos-u55-128"
    system: MemorySystem | None = None


@dataclass(frozen=True)
class _Span:
    """Bytes [start, end) of a region that operations reach, and whether they write there."""

    region: int
    start: int
    end: int
    is_written: bool


@dataclass(frozen=True)
class _Area:
    """A run of absolute addresses that spans share, held in one buffer."""

    start: int
    buffer: Bytes


class _BoundJob:
    """A stream bound to base pointers: buffers, checked addresses, and decoded weights."""

    def __init__(
        self,
        operations: tuple[Operation, ...],
        bases: tuple[int, ...],
        accelerator: Npu,
        system: MemorySystem,
    ) -> None:
        spans = operand_spans(operations, len(bases))
        self._areas = _merge([(bases[s.region] + s.start, bases[s.region] + s.end) for s in spans])
        regions = {}
        for region in {span.region for span in spans}:
            area = self._area_of(bases[region] + next(s.start for s in spans if s.region == region))
            regions[region] = area.buffer[bases[region] - area.start :]
        self._writes = [
            (bases[s.region] + s.start, bases[s.region] + s.end) for s in spans if s.is_written
        ]
        memory = RegionMemory(regions, accelerator.shram_bytes)
        self._executor = Executor(operations, memory, accelerator)
        self.counters = cost_program(operations, accelerator, system).counters

    def _area_of(self, address: int) -> _Area:
        return next(a for a in self._areas if a.start <= address < a.start + len(a.buffer))

    def run(self, memory: Memory) -> None:
        for area in self._areas:
            content = memory.read(area.start, len(area.buffer))
            area.buffer[:] = np.frombuffer(content, np.uint8)
        self._executor.run()
        for start, end in self._writes:
            area = self._area_of(start)
            memory.write(start, area.buffer[start - area.start : end - area.start].tobytes())


def operand_spans(operations: Sequence[Operation], region_count: int) -> list[_Span]:
    """What each region must hold: one span from its base to the furthest byte read or written,
    and one span per run of bytes written.

    Raises:
        AddressError: an operand below its region's base, beyond any region, or absurdly far away.
    """
    ends: dict[int, int] = {}
    written: dict[int, list[tuple[int, int]]] = {}
    for op in operations:
        for field in fields(op):
            operand = getattr(op, field.name)
            for start, end in _operand_runs(operand):
                region = operand.region
                if start < 0 or end > _MAX_JOB_BYTES or region >= region_count:
                    raise AddressError(
                        f"region {region}", start, end, _MAX_JOB_BYTES, op.command_index, op.command
                    )
                ends[region] = max(ends.get(region, 0), end)
                if field.name in ("ofm", "destination"):
                    written.setdefault(region, []).append((start, end))
    spans = [_Span(region, 0, end, False) for region, end in ends.items()]
    for region, runs in written.items():
        spans += [_Span(region, start, end, True) for start, end in _union(runs)]
    return spans


def _operand_runs(operand: object) -> list[tuple[int, int]]:
    if isinstance(operand, ByteRange) and not operand.internal:
        return [(operand.address, operand.address + operand.length)]
    if isinstance(operand, FeatureMap):
        extents = [part.extent for part in feature_map_parts(operand)]
        return [(first, last + operand.element_bytes) for first, last in extents]
    return []


def _union(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(runs):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _merge(runs: list[tuple[int, int]]) -> list[_Area]:
    return [_Area(start, np.zeros(end - start, np.uint8)) for start, end in _union(runs)]


_Key = tuple[bytes, tuple[int, ...], NpuConfig]
_jobs: OrderedDict[_Key, _BoundJob] = OrderedDict()


def execute_stream(
    command_stream: bytes,
    memory: Memory,
    base_pointers: Sequence[int],
    config: NpuConfig = NpuConfig(),
) -> Counters:
    """Executes the words the driver queues (without the driver payload around them).

    Args:
        command_stream: little-endian 32-bit command words, ending with NPU_OP_STOP.
        memory: the machine's memory.
        base_pointers: absolute address of each region, BASEP0 first.
        config: the NPU configuration and the memories its counters assume.

    Returns:
        The PMU events of this job.

    Raises:
        StreamError: something in the stream the NPU does not define.
        AddressError: an operand outside what its region can hold.
        ModelError: the stream is not made of whole words.
    """
    key = (command_stream, tuple(base_pointers), config)
    job = _jobs.get(key)
    if job is None:
        if len(command_stream) % 4:
            raise ModelError(f"command stream of {len(command_stream)} bytes, expected whole words")
        words = struct.unpack(f"<{len(command_stream) // 4}I", command_stream)
        job = _BoundJob(
            build_program(decode_commands(words)),
            key[1],
            get_npu(config.accelerator),
            config.system or memory_system(),
        )
        _jobs[key] = job
        if len(_jobs) > _CACHED_JOBS:
            _jobs.popitem(last=False)
    else:
        _jobs.move_to_end(key)
    job.run(memory)
    return job.counters
