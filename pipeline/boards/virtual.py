"""The virtual board: QEMU's mps3-an547 (Corstone-300) with the virtual Ethos-U55 plugged in.

Its clock ticks at 32 MHz. NPU cycles are the emulator's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.boards import qemu
from pipeline.boards.board import PACKAGE_FILE, BoardError
from pipeline.boards.npu_model import EmulatedNpu
from pipeline.boards.npu_server import NpuModel, NpuServer

MODEL_ADDRESS = 0x90000000
TICKS_PER_INSTRUCTION = 1.024
SOCKET_FILE = "npu.socket"


@dataclass(frozen=True)
class VirtualBoard:
    """QEMU with the plugin.

    Attributes:
        firmware: the board image, firmware build target `enhancer.elf`.
        plugin: the plugin, host build target `npu`.
        macs_per_cycle: of the NPU, 32, 64, 128 or 256.
        npu: what computes the NPU's jobs.
        timeout_s: wall-clock limit of one run, or None.
    """

    firmware: Path
    plugin: Path
    macs_per_cycle: int = 128
    npu: NpuModel = field(default_factory=EmulatedNpu)
    timeout_s: float | None = None

    def check(self) -> None:
        """See `Board.check`."""
        qemu_command(self.plugin, self.macs_per_cycle, self.firmware)

    def run(self, directory: Path, command: str) -> str:
        """See `Board.run`."""
        arguments = [
            *qemu_command(self.plugin, self.macs_per_cycle, self.firmware),
            *qemu.loader(PACKAGE_FILE, MODEL_ADDRESS),
            *qemu.semihosting(command),
        ]
        with NpuServer(directory / SOCKET_FILE, self.npu):
            return qemu.run(arguments, directory, self.timeout_s)


def qemu_command(plugin: Path, macs_per_cycle: int, image: Path) -> list[str]:
    """The virtual board with an image; the NPU socket is in QEMU's working directory.

    Raises:
        BoardError: QEMU, image or plugin are missing.
    """
    command = qemu.machine("mps3-an547", image)
    if not plugin.is_file():
        raise BoardError(f"{plugin}: no plugin there; build it with `make firmware`")
    device = f"{qemu.escape(plugin.resolve())},socket={SOCKET_FILE},macs={macs_per_cycle}"
    return [*command, "-plugin", device]
