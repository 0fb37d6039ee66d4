"""Decodes Vela's driver payload and the 32-bit register commands inside it.

The payload (Vela `driver_actions.py`, Ethos-U core driver "COP1" format) is a four-character code
followed by driver actions; one of them, COMMAND_STREAM, carries the words the NPU itself reads.
A word holds a 10-bit code, two mode bits (0 = no payload, 1 = one payload word follows) and a
16-bit parameter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ethosu.vela.ethos_u55_regs.ethos_u55_regs import cmd0, cmd1, config_r

from .errors import ModelError, StreamError

_FOURCC = b"COP1"
_ACTION_CONFIG, _ACTION_COMMANDS, _ACTION_NOP = 0x01, 0x02, 0x05
_NAMES = (
    {command.value: command.name for command in cmd0},
    {command.value: command.name for command in cmd1},
)
_PRODUCTS = {1: "the Ethos-U65", 2: "the Ethos-U85"}
_PAYLOAD_MODES = {0x0000: 0, 0x4000: 1}


@dataclass(frozen=True)
class Command:
    """One decoded command; `payload` is None for commands without a payload word."""

    index: int
    offset_bytes: int
    name: str
    param: int
    payload: int | None

    def __str__(self) -> str:
        payload = "" if self.payload is None else f" payload={self.payload:#010x}"
        place = f"{self.index:5d} {self.offset_bytes:#08x}"
        return f"{place} {self.name:28s} param={self.param:#06x}{payload}"


@dataclass(frozen=True)
class DriverPayload:
    """What the driver finds in the command-stream tensor: the target's MAC count and the words."""

    macs_per_cycle: int
    shram_kib: int
    words: tuple[int, ...]


def parse_driver_payload(data: bytes) -> DriverPayload:
    """Reads driver actions up to and including the command stream.

    Raises:
        ModelError: wrong magic, unknown action, no Ethos-U55 configuration, or truncated words.
    """
    if data[:4] != _FOURCC:
        raise ModelError(f"command stream starts with {data[:4]!r}, expected {_FOURCC!r}")
    if len(data) % 4:
        raise ModelError(f"command stream is {len(data)} bytes long, expected a multiple of 4")
    words = struct.unpack(f"<{len(data) // 4}I", data)
    config: config_r | None = None
    position = 1
    while position < len(words):
        action, high, low = (
            words[position] & 0xFF,
            words[position] >> 8 & 0xFF,
            words[position] >> 16,
        )
        position += 1
        if action == _ACTION_NOP:
            continue
        if action == _ACTION_CONFIG and position + 2 <= len(words):
            config = config_r()
            config.word = words[position]
            position += 2
        elif action == _ACTION_COMMANDS:
            length = high << 16 | low
            commands = words[position : position + length]
            if len(commands) != length:
                raise ModelError(
                    f"command stream holds {len(commands)} words, header says {length}"
                )
            return DriverPayload(*_check_config(config), commands)
        else:
            raise ModelError(f"unknown driver action {action:#x} at word {position - 1}")
    raise ModelError("driver payload holds no command stream")


def _check_config(config: config_r | None) -> tuple[int, int]:
    if config is None:
        raise ModelError("driver payload names no accelerator configuration")
    if config.get_product() != 0:
        name = _PRODUCTS.get(config.get_product(), f"product {config.get_product()}")
        raise ModelError(
            f"compiled for {name}; only the Ethos-U55 is emulated: compile it again with "
            "--accelerator-config ethos-u55-128 (or -32, -64, -256)"
        )
    return 1 << config.get_macs_per_cc(), config.get_shram_size()


def decode_commands(words: tuple[int, ...]) -> Iterator[Command]:
    """Splits stream words into commands.

    Raises:
        StreamError: unknown code, reserved mode bits, or a payload word missing at the end.
    """
    position = index = 0
    while position < len(words):
        word = words[position]
        code, param = word & 0x3FF, word >> 16
        mode = _PAYLOAD_MODES.get(word & 0xFC00)
        name = _NAMES[mode].get(code) if mode is not None else None
        if mode is None or name is None:
            raise StreamError(f"unknown command word {word:#010x}", index, "unknown")
        if position + mode >= len(words):
            raise StreamError("stream ends before the payload word", index, name)
        yield Command(index, 4 * position, name, param, words[position + 1] if mode else None)
        position += 1 + mode
        index += 1
