"""The virtual NPU's computing half, driven over its socket as the register model drives it."""

from __future__ import annotations

import dataclasses
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from compiled_enhancer import Compiled
from numpy.typing import NDArray

from pipeline.boards.npu_model import CountedJobs, EmulatedNpu
from pipeline.boards.npu_server import (
    Completion,
    GuestMemory,
    NpuServer,
    Registers,
    Status,
)

HELLO, RUN, READ, WRITE, REPLY, SET_REGISTER, DONE = range(1, 8)
STREAM, WEIGHTS, ARENA = 0x1000, 0x100000, 0x2000000
NEVER = (1 << 64) - 1


@dataclasses.dataclass
class Device:
    """A register model and its machine's memory: [address, content] blocks."""

    connection: socket.socket
    blocks: dict[int, bytearray]
    registers: NDArray[np.uint32] = dataclasses.field(
        default_factory=lambda: np.zeros(1024, np.uint32)
    )

    def receive(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self.connection.recv(size - len(content))
            assert part, "the server closed the connection"
            content += part
        return content

    def send(self, kind: int, size: int, value: int, payload: bytes = b"") -> None:
        self.connection.sendall(struct.pack("<IIQ", kind, size, value) + payload)

    def block(self, address: int, size: int) -> tuple[bytearray, int] | None:
        for start, content in self.blocks.items():
            if start <= address and address + size <= start + len(content):
                return content, address - start
        return None

    def run(self) -> tuple[int, int]:
        """Start a job, serve it, and return its status and duration."""
        self.send(RUN, 4096, 0, self.registers.tobytes())
        while True:
            kind, size, value = struct.unpack("<IIQ", self.receive(16))
            if kind == DONE:
                return size, value
            if kind == SET_REGISTER:
                self.registers[(value >> 32) // 4] = value & 0xFFFFFFFF
                continue
            payload = self.receive(size) if kind == WRITE else b""
            found = self.block(value, size)
            if found is not None and kind == WRITE:
                found[0][found[1] : found[1] + size] = payload
            content = bytes(size)
            if found is not None:
                content = bytes(found[0][found[1] : found[1] + size])
            self.send(REPLY, size if kind == READ else 0, found is not None,
                      content if kind == READ else b"")  # fmt: skip


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "npu.socket"


def connect(path: Path, version: int = 1) -> Device:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    device = Device(connection, {})
    device.send(HELLO, 0, version)
    return device


def load(device: Device, compiled: Compiled) -> None:
    stream = np.array(compiled.vela.command_words, "<u4").tobytes()
    device.blocks = {
        STREAM: bytearray(stream),
        WEIGHTS: bytearray(compiled.vela.read_only),
        ARENA: bytearray(compiled.vela.scratch_bytes),
    }
    for offset, value in ((0x10, STREAM), (0x20, len(stream)), (0x28, 0x1807),
                          (0x80, WEIGHTS), (0x88, ARENA), (0x90, ARENA)):  # fmt: skip
        device.registers[offset // 4] = value


def hop(device: Device, compiled: Compiled, inputs: dict[str, bytes]) -> dict[str, bytes]:
    arena = device.blocks[ARENA]
    for spec in compiled.vela.inputs:
        arena[spec.offset : spec.offset + spec.size_bytes] = inputs[spec.name]
    status, _ = device.run()
    assert status == Status.COMMAND_END
    return {
        spec.name: bytes(arena[spec.offset : spec.offset + spec.size_bytes])
        for spec in compiled.vela.outputs
    }


def test_jobs_compute_what_the_emulator_computes(compiled: Compiled, socket_path: Path) -> None:
    golden = compiled.golden(6)
    with NpuServer(socket_path, EmulatedNpu()):
        device = connect(socket_path)
        load(device, compiled)
        states = {s.name: bytes(s.size_bytes) for s in compiled.vela.inputs if s.name != "features"}
        for features, mask in zip(golden.features, golden.mask, strict=True):
            outputs = hop(device, compiled, states | {"features": features.tobytes()})
            states = {name: outputs[f"{name}_next"] for name in states}
            assert outputs["mask"] == mask.tobytes()
        device.connection.close()


def test_changed_weights_are_noticed(compiled: Compiled, socket_path: Path) -> None:
    with NpuServer(socket_path, EmulatedNpu()):
        device = connect(socket_path)
        load(device, compiled)
        inputs = {spec.name: bytes(spec.size_bytes) for spec in compiled.vela.inputs}
        before = hop(device, compiled, inputs)["mask"]
        # The last table or weights of the file become zeros.
        weights = device.blocks[WEIGHTS]
        weights[len(weights) - 256 :] = bytes(256)
        assert hop(device, compiled, inputs)["mask"] != before
        device.connection.close()


ENABLE, DISABLE = 0x184, 0x188
CYCLES, EVENT_0, EVENT_1 = 0x1A0, 0x300, 0x304
NPU_ACTIVE, AXI1_READ_BEATS = 0x23, 0x182


def test_counters_count_only_when_and_what_they_are_told_to(
    compiled: Compiled, socket_path: Path
) -> None:
    with NpuServer(socket_path, EmulatedNpu()):
        device = connect(socket_path)
        load(device, compiled)

        def counts() -> list[int]:
            device.run()
            return [int(device.registers[offset // 4]) for offset in (CYCLES, EVENT_0, EVENT_1)]

        device.registers[0x380 // 4] = NPU_ACTIVE
        device.registers[0x384 // 4] = AXI1_READ_BEATS
        device.registers[0x3C // 4] = 3  # Weights come through AXI port 1.
        device.registers[ENABLE // 4] = 0x80000003
        assert counts() == [0, 0, 0]
        device.registers[0x180 // 4] = 1
        first = counts()
        assert min(first) > 0
        assert counts() == [2 * count for count in first]
        device.registers[ENABLE // 4] = 0x2
        assert counts() == [2 * first[0], 2 * first[1], 3 * first[2]]
        device.connection.close()


def test_faults_become_status_bits(compiled: Compiled, socket_path: Path) -> None:
    with NpuServer(socket_path, EmulatedNpu()):
        device = connect(socket_path)
        load(device, compiled)
        device.registers[0x88 // 4] = 0x7000000
        assert device.run()[0] == Status.BUS_FAULT
        load(device, compiled)
        device.blocks[STREAM][0:4] = b"\xff\xff\xff\xff"
        assert device.run()[0] == Status.COMMAND_ERROR
        load(device, compiled)
        weights = device.blocks[WEIGHTS]
        weights[: len(weights) // 2] = bytes(len(weights) // 2)
        assert device.run()[0] == Status.WEIGHT_DECODER_FAULT
        load(device, compiled)
        assert device.run()[0] == Status.COMMAND_END
        device.connection.close()


class Scripted:
    """An NPU that answers what it is told to."""

    def __init__(self, completion: Completion | Exception) -> None:
        self.completion = completion

    def run(self, registers: Registers, memory: GuestMemory) -> Completion:
        if isinstance(self.completion, Exception):
            raise self.completion
        return self.completion


def test_registers_and_duration_reach_the_device(socket_path: Path) -> None:
    completion = Completion(Status.COMMAND_END, 1234, {0x1A0: 77})
    with NpuServer(socket_path, Scripted(completion)):
        device = connect(socket_path)
        assert device.run() == (Status.COMMAND_END, 1234)
        assert device.registers[0x1A0 // 4] == 77
        device.connection.close()


def test_every_job_is_told_when_it_is_done(socket_path: Path) -> None:
    told: list[int] = []
    npu = CountedJobs(Scripted(Completion(Status.COMMAND_END, 1)), told.append)
    with NpuServer(socket_path, npu):
        device = connect(socket_path)
        for jobs in (1, 2, 3):
            device.run()
            assert told == list(range(1, jobs + 1))
        device.connection.close()


def test_a_hanging_npu_never_completes(socket_path: Path) -> None:
    with NpuServer(socket_path, Scripted(Completion(Status(0), None))):
        device = connect(socket_path)
        assert device.run() == (0, NEVER)
        device.connection.close()


def test_a_failing_model_is_raised_where_the_server_was_opened(
    socket_path: Path,
) -> None:
    with (
        pytest.raises(ZeroDivisionError, match="broken"),
        NpuServer(socket_path, Scripted(ZeroDivisionError("broken"))),
    ):
        device = connect(socket_path)
        device.send(RUN, 4096, 0, bytes(4096))
        assert device.connection.recv(1) == b""


def test_other_protocol_versions_are_refused(socket_path: Path) -> None:
    with (
        pytest.raises(ConnectionError, match="protocol 2, expected 1"),
        NpuServer(socket_path, Scripted(Completion(Status(0), 0))),
    ):
        assert connect(socket_path, version=2).connection.recv(1) == b""


def test_a_machine_that_vanishes_leaves_room_for_the_next(socket_path: Path) -> None:
    with NpuServer(socket_path, Scripted(Completion(Status.COMMAND_END, 5))):
        connect(socket_path).connection.close()
        device = connect(socket_path)
        assert device.run() == (Status.COMMAND_END, 5)
        device.connection.close()
