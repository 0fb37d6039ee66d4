"""Serves the virtual NPU: answers the jobs that its register model sends over a UNIX socket.

Peer: firmware/virtual/job_channel.h, which documents the messages.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

PROTOCOL_VERSION = 1
_MESSAGE = struct.Struct("<IIQ")
_REGISTER_BYTES = 0x1000
_NEVER = (1 << 64) - 1
_POLL_S = 0.2


class _Kind(IntEnum):
    HELLO = 1
    RUN = 2
    READ = 3
    WRITE = 4
    REPLY = 5
    SET_REGISTER = 6
    DONE = 7


class Status(IntFlag):
    """Bits of the NPU's STATUS register that a finished job sets."""

    BUS_FAULT = 1 << 2
    COMMAND_ERROR = 1 << 4
    COMMAND_END = 1 << 5
    WEIGHT_DECODER_FAULT = 1 << 7


class BusError(RuntimeError):
    """The guest machine has no memory at an address."""


class GuestMemory(Protocol):
    """Memory of the machine the NPU sits in."""

    def read(self, address: int, size_bytes: int) -> bytes:
        """Raises `BusError` where there is no memory."""
        ...

    def write(self, address: int, content: bytes) -> None:
        """Raises `BusError` where there is no memory."""
        ...


@dataclass(frozen=True)
class Registers:
    """Snapshot of the NPU's register block, uint32 [1024]."""

    words: NDArray[np.uint32]

    def __getitem__(self, offset: int) -> int:
        return int(self.words[offset // 4])

    def address(self, offset: int) -> int:
        """A 64-bit pointer register."""
        return self[offset] | self[offset + 4] << 32


@dataclass(frozen=True)
class Completion:
    """How a job ended: status, duration on the guest's clock, and register values to publish.

    A duration of None means that the NPU hangs.
    """

    status: Status
    duration_ns: int | None
    registers: Mapping[int, int] = field(default_factory=dict)


class NpuModel(Protocol):
    """What computes a job."""

    def run(self, registers: Registers, memory: GuestMemory) -> Completion: ...


class _DisconnectedError(Exception):
    """The virtual machine ended."""


class NpuServer:
    """Listens on a UNIX socket and serves one virtual machine at a time, in a thread.

    A context manager. An exception in the model ends the connection, which the guest sees as a bus
    fault, and is raised again on exit.
    """

    def __init__(self, socket_path: Path, model: NpuModel) -> None:
        self._model = model
        self._stop = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(str(socket_path))
        except OSError as error:
            self._listener.close()
            raise OSError(f"{socket_path}: cannot listen on this socket: {error}") from error
        self._listener.listen(1)
        self._listener.settimeout(_POLL_S)
        self._executor = ThreadPoolExecutor(1, "npu-server")

    def __enter__(self) -> Self:
        self._serving = self._executor.submit(self._serve)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._executor.shutdown()
        self._listener.close()
        if kind is None:
            self._serving.result()

    def _serve(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError, _DisconnectedError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(_POLL_S)
                    self._serve_machine(_Channel(connection, self._stop))

    def _serve_machine(self, channel: _Channel) -> None:
        kind, size, version = channel.receive()
        if (kind, size, version) != (_Kind.HELLO, 0, PROTOCOL_VERSION):
            raise ConnectionError(
                f"virtual NPU speaks protocol {version}, expected {PROTOCOL_VERSION}: rebuild it"
            )
        while True:
            kind, size, _ = channel.receive()
            if (kind, size) != (_Kind.RUN, _REGISTER_BYTES):
                raise ConnectionError(f"unexpected message {kind} of {size} bytes")
            registers = Registers(np.frombuffer(channel.receive_payload(size), np.uint32))
            completion = self._model.run(registers, _RemoteMemory(channel))
            for offset, value in completion.registers.items():
                channel.send(_Kind.SET_REGISTER, 0, offset << 32 | value)
            duration = _NEVER if completion.duration_ns is None else completion.duration_ns
            channel.send(_Kind.DONE, int(completion.status), duration)


class _Channel:
    def __init__(self, connection: socket.socket, stop: threading.Event) -> None:
        self._connection = connection
        self._stop = stop

    def receive(self) -> tuple[int, int, int]:
        kind, size, value = _MESSAGE.unpack(self.receive_payload(_MESSAGE.size))
        return kind, size, value

    def receive_payload(self, size: int) -> bytes:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            try:
                count = self._connection.recv_into(view)
            except TimeoutError:
                if self._stop.is_set():
                    raise _DisconnectedError from None
                continue
            except ConnectionError:
                raise _DisconnectedError from None
            if count == 0:
                raise _DisconnectedError
            view = view[count:]
        return bytes(content)

    def send(self, kind: _Kind, size: int, value: int, payload: bytes = b"") -> None:
        try:
            self._connection.settimeout(None)
            self._connection.sendall(_MESSAGE.pack(kind, size, value) + payload)
            self._connection.settimeout(_POLL_S)
        except ConnectionError:
            raise _DisconnectedError from None


class _RemoteMemory:
    """Guest memory behind a channel."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel

    def read(self, address: int, size_bytes: int) -> bytes:
        self._channel.send(_Kind.READ, size_bytes, address)
        kind, size, succeeded = self._channel.receive()
        content = self._channel.receive_payload(size)
        self._check(kind, succeeded, address, size_bytes)
        return content

    def write(self, address: int, content: bytes) -> None:
        self._channel.send(_Kind.WRITE, len(content), address, content)
        kind, _, succeeded = self._channel.receive()
        self._check(kind, succeeded, address, len(content))

    def _check(self, kind: int, succeeded: int, address: int, size: int) -> None:
        if kind != _Kind.REPLY:
            raise ConnectionError(f"unexpected message {kind}, expected a reply")
        if not succeeded:
            raise BusError(f"the NPU reached {size} bytes at {address:#010x}, where no memory is")
