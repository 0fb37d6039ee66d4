"""The virtual board: QEMU's mps3-an547 (Corstone-300) with the virtual Ethos-U55 plugged in.

CPU ticks are instruction counts, not Cortex-M55 cycles: an instruction takes 32 ns of virtual time,
the board's clock ticks at 32 MHz, so instructions = ticks / 1.024. NPU cycles are the emulator's.
Runs are deterministic.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.boards.board import PACKAGE_FILE, BoardError, describe_end
from pipeline.boards.npu_model import EmulatedNpu
from pipeline.boards.npu_server import NpuModel, NpuServer
from pipeline.boards.protocol import END_OF_TRANSMISSION

MODEL_ADDRESS = 0x90000000
TICKS_PER_INSTRUCTION = 1.024
SOCKET_FILE = "npu.socket"
_QEMU = "qemu-system-arm"
# Every instruction takes 2^5 ns of virtual time; waiting for an interrupt takes no real time.
_INSTRUCTION_CLOCK = "shift=5,sleep=off"


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

    def run(self, directory: Path, command: str) -> str:
        """See `Board.run`."""
        arguments = [
            *qemu_command(self.plugin, self.macs_per_cycle, self.firmware),
            *loader(PACKAGE_FILE, MODEL_ADDRESS),
            *semihosting(command),
        ]
        for path, name in ((self.firmware, "firmware"), (self.plugin, "plugin")):
            if not path.is_file():
                raise BoardError(f"{path}: no {name} there; build it with `make firmware`")
        with NpuServer(directory / SOCKET_FILE, self.npu):
            return _run_qemu(arguments, directory, self.timeout_s)


def qemu_command(plugin: Path, macs_per_cycle: int, image: Path) -> list[str]:
    """The virtual board with an image; the NPU socket is in QEMU's working directory."""
    if shutil.which(_QEMU) is None:
        raise BoardError(f"{_QEMU} is not installed; on Debian: apt-get install qemu-system-arm")
    return [
        _QEMU,
        *("-machine", "mps3-an547", "-nodefaults", "-display", "none"),
        *("-monitor", "none", "-serial", "stdio"),
        *("-icount", _INSTRUCTION_CLOCK),
        "-plugin",
        f"{_escape(plugin.resolve())},socket={SOCKET_FILE},macs={macs_per_cycle}",
        *("-kernel", str(image.resolve())),
    ]


def loader(file_name: str, address: int) -> list[str]:
    """QEMU arguments that place a file of its working directory in memory before start."""
    return [
        "-device",
        f"loader,file={_escape(file_name)},addr={address:#x},force-raw=on",
    ]


def semihosting(command: str) -> list[str]:
    """QEMU arguments that give the firmware its command line and access to files."""
    words = [f"arg={word}" for word in command.split()]
    return ["-semihosting-config", ",".join(["enable=on", "target=native", *words])]


def _escape(value: Path | str) -> str:
    """QEMU splits option values at single commas."""
    return str(value).replace(",", ",,")


def _run_qemu(arguments: Sequence[str], directory: Path, timeout_s: float | None) -> str:
    try:
        done = subprocess.run(
            arguments,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BoardError(
            f"the virtual board did not finish within {timeout_s:g} s; give it more with --timeout"
        ) from None
    console = done.stdout.decode("ascii", errors="replace")
    if END_OF_TRANSMISSION not in console:
        raise BoardError(f"QEMU {describe_end(done.returncode, console, done.stderr)}")
    return console
