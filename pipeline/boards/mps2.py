"""Processors without an NPU: QEMU's MPS2 boards with a Cortex-M7 or a Cortex-M4 with FPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.boards import qemu
from pipeline.boards.board import PACKAGE_FILE

Mps2Processor = Literal["cortex-m7", "cortex-m4"]
_MODEL_ADDRESS = 0x00100000
# Application notes AN500 and AN386.
_MACHINES: dict[Mps2Processor, str] = {"cortex-m7": "mps2-an500", "cortex-m4": "mps2-an386"}


@dataclass(frozen=True)
class Mps2Board:
    """QEMU without any plugin.

    Attributes:
        firmware: the image, firmware build target `enhancer.elf` of the platform `mps2`.
        processor: which it is built for.
        timeout_s: wall-clock limit of one run, or None.
    """

    firmware: Path
    processor: Mps2Processor
    timeout_s: float | None = None

    def check(self) -> None:
        """See `Board.check`."""
        qemu.machine(_MACHINES[self.processor], self.firmware)

    def run(self, directory: Path, command: str) -> str:
        """See `Board.run`."""
        arguments = [
            *qemu.machine(_MACHINES[self.processor], self.firmware),
            # The board's own Ethernet controller, which nothing is connected to.
            *("-net", "none"),
            *qemu.loader(PACKAGE_FILE, _MODEL_ADDRESS),
            *qemu.semihosting(command),
        ]
        return qemu.run(arguments, directory, self.timeout_s)
