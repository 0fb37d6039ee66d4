"""The bit-exact emulator as the computing half of the virtual NPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.ethosu.accelerator import get_accelerator
from pipeline.ethosu.errors import AddressError, EthosUError
from pipeline.ethosu.executor import Executor
from pipeline.ethosu.memory import RegionMemory, feature_map_parts
from pipeline.ethosu.model import READ_ONLY_REGION
from pipeline.ethosu.operations import ByteRange, FeatureMap, Operation
from pipeline.ethosu.program import build_program
from pipeline.ethosu.stream import decode_commands
from pipeline.targets.npu_server import (
    BusError,
    Completion,
    GuestMemory,
    Registers,
    Status,
)

_QUEUE_BASE, _QUEUE_SIZE, _CONFIG, _BASE_POINTER_0 = 0x010, 0x020, 0x028, 0x080
_MAX_STREAM_BYTES = 1 << 24
_MAX_REGION_BYTES = 1 << 28

Bytes = NDArray[np.uint8]


class EmulatedNpu:
    """Executes each job's command stream on the guest's memory."""

    def __init__(self) -> None:
        self._job: _BoundJob | None = None

    def run(self, registers: Registers, memory: GuestMemory) -> Completion:
        """One job; a fault of the stream or its addresses becomes the NPU's error status."""
        try:
            self._bind(registers, memory).run(memory)
        except (AddressError, BusError):
            return Completion(Status.BUS_FAULT, 0)
        except EthosUError:
            return Completion(Status.COMMAND_ERROR, 0)
        return Completion(Status.COMMAND_END, 0)

    def _bind(self, registers: Registers, memory: GuestMemory) -> _BoundJob:
        """The job bound to its addresses; bound anew only when stream, addresses or data change."""
        size = min(registers[_QUEUE_SIZE], _MAX_STREAM_BYTES)
        stream = memory.read(registers.address(_QUEUE_BASE), size)
        bases = tuple(
            registers.address(_BASE_POINTER_0 + 8 * region) for region in range(8)
        )
        macs = 1 << (registers[_CONFIG] & 0xF)
        if self._job is None or not self._job.is_same(stream, bases, macs, memory):
            self._job = _BoundJob(stream, bases, macs, memory)
        return self._job


class _BoundJob:
    def __init__(
        self, stream: bytes, bases: tuple[int, ...], macs: int, memory: GuestMemory
    ) -> None:
        self._key = (stream, bases, macs)
        accelerator = get_accelerator(f"ethos-u55-{macs}")
        words = tuple(
            int(word) for word in np.frombuffer(stream[: len(stream) & ~3], "<u4")
        )
        operations = build_program(decode_commands(words))
        extents = _region_extents(operations)
        self._buffers = {
            address: np.zeros(
                max(extents[r] for r in extents if bases[r] == address), np.uint8
            )
            for address in {bases[region] for region in extents}
        }
        self._written = {
            bases[op.ofm.region] for op in operations if hasattr(op, "ofm")
        } | {
            bases[op.destination.region]
            for op in operations
            if hasattr(op, "destination") and not op.destination.internal
        }
        self._constants = (
            bases[READ_ONLY_REGION]
            if bases[READ_ONLY_REGION] not in self._written
            else None
        )
        for address in self._buffers:
            self._load(address, memory)
        regions = {region: self._buffers[bases[region]] for region in extents}
        region_memory = RegionMemory(regions, accelerator.shram_bytes)
        self._executor = Executor(operations, region_memory, accelerator)

    def is_same(
        self, stream: bytes, bases: tuple[int, ...], macs: int, memory: GuestMemory
    ) -> bool:
        """Whether the decoded weights still hold for this job."""
        if self._key != (stream, bases, macs):
            return False
        buffer = (
            self._buffers.get(self._constants) if self._constants is not None else None
        )
        return (
            buffer is None
            or memory.read(self._constants or 0, len(buffer)) == buffer.tobytes()
        )

    def _load(self, address: int, memory: GuestMemory) -> None:
        buffer = self._buffers[address]
        buffer[:] = np.frombuffer(memory.read(address, len(buffer)), np.uint8)

    def run(self, memory: GuestMemory) -> None:
        for address in self._buffers:
            if address != self._constants:
                self._load(address, memory)
        self._executor.run()
        for address in self._written:
            memory.write(address, self._buffers[address].tobytes())


def _region_extents(operations: Iterable[Operation]) -> dict[int, int]:
    """Bytes of each region that the operations reach.

    Raises:
        AddressError: an operand below the start of its region or absurdly far above it.
    """
    extents: dict[int, int] = {}
    for op in operations:
        for field in dataclasses.fields(op):
            operand = getattr(op, field.name)
            if isinstance(operand, ByteRange) and not operand.internal:
                start, end = operand.address, operand.address + operand.length
            elif isinstance(operand, FeatureMap):
                parts = [part.extent for part in feature_map_parts(operand)]
                start = min(first for first, _ in parts)
                end = max(last for _, last in parts) + operand.element_bytes
            else:
                continue
            if start < 0 or end > _MAX_REGION_BYTES:
                raise AddressError(
                    f"region {operand.region}", start, end, _MAX_REGION_BYTES,
                    op.command_index, op.command,
                )  # fmt: skip
            extents[operand.region] = max(extents.get(operand.region, 0), end)
    return extents
