"""QEMU, as the boards here run it: one instruction after the other in virtual time.

CPU ticks are instruction counts, not cycles of a processor: every instruction takes 32 ns of
virtual time, in which the board's clock ticks on. Runs are deterministic.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.boards.board import BoardError, describe_end
from pipeline.boards.protocol import END_OF_TRANSMISSION

_QEMU = "qemu-system-arm"
_INSTRUCTION_SHIFT = 5
# Waiting for an interrupt takes no real time.
_INSTRUCTION_CLOCK = f"shift={_INSTRUCTION_SHIFT},sleep=off"


def instructions(ticks: float, ticks_per_second: int) -> float:
    """How many instructions ran in so many ticks of a board's clock."""
    return ticks / ticks_per_second * 1e9 / (1 << _INSTRUCTION_SHIFT)


def machine(name: str, image: Path) -> list[str]:
    """The command that starts an image on one of QEMU's machines.

    Raises:
        BoardError: QEMU is not installed, or there is no image.
    """
    if shutil.which(_QEMU) is None:
        raise BoardError(f"{_QEMU} is not installed; on Debian: apt-get install qemu-system-arm")
    if not image.is_file():
        raise BoardError(f"{image}: no firmware there; build it with `make firmware`")
    return [
        _QEMU,
        *("-machine", name, "-nodefaults", "-display", "none"),
        *("-monitor", "none", "-serial", "stdio"),
        *("-icount", _INSTRUCTION_CLOCK),
        *("-kernel", str(image.resolve())),
    ]


def loader(file_name: str, address: int) -> list[str]:
    """QEMU arguments that place a file of its working directory in memory before start."""
    return [
        "-device",
        f"loader,file={escape(file_name)},addr={address:#x},force-raw=on",
    ]


def semihosting(command: str) -> list[str]:
    """QEMU arguments that give the firmware its command line and access to files."""
    words = [f"arg={word}" for word in command.split()]
    return ["-semihosting-config", ",".join(["enable=on", "target=native", *words])]


def escape(value: Path | str) -> str:
    """QEMU splits option values at single commas."""
    return str(value).replace(",", ",,")


def run(arguments: Sequence[str], directory: Path, timeout_s: float | None) -> str:
    """Run QEMU in a folder until the firmware has ended, and return what the console showed.

    Raises:
        BoardError: it took longer than `timeout_s`, or QEMU ended before the firmware.
    """
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
