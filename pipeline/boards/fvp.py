"""Arm's Corstone-300 Fixed Virtual Platform: the reference for NPU cycles, given the same image.

The NPU's cycles are approximate and those of the CPU carry no meaning, says Arm; the memory system
the NPU sees is set by the firmware from the package's memory timing (`MemoryTiming`).
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.boards.board import PACKAGE_FILE, BoardError, describe_end
from pipeline.boards.protocol import END_OF_TRANSMISSION
from pipeline.boards.virtual import MODEL_ADDRESS

EXECUTABLE = "FVP_Corstone_SSE-300_Ethos-U55"


def find_fvp(executable: Path | None = None) -> Path:
    """The FVP given, or the one on PATH.

    Raises:
        BoardError: there is none; the text tells how to get it.
    """
    found = shutil.which(str(executable) if executable is not None else EXECUTABLE)
    if found is None:
        raise BoardError(
            f"{executable or EXECUTABLE} was not found. Arm offers it without charge as "
            "'Corstone-300 Ecosystem FVP' for x86-64 and Arm Linux under its own licence: install "
            "it and put its models/Linux64_GCC-9.3 folder on PATH, or run docker/build.sh --fvp, "
            "or use the virtual board instead"
        )
    return Path(found)


@dataclass(frozen=True)
class FvpBoard:
    """The FVP.

    Attributes:
        firmware: the board image, firmware build target `enhancer.elf`.
        macs_per_cycle: of the NPU, 32, 64, 128 or 256.
        executable: of the FVP; by default the one on PATH.
        timeout_s: wall-clock limit of one run, or None.
    """

    firmware: Path
    macs_per_cycle: int = 128
    executable: Path | None = None
    timeout_s: float | None = None

    def check(self) -> None:
        """See `Board.check`."""
        if not self.firmware.is_file():
            raise BoardError(f"{self.firmware}: no firmware there; build it with `make firmware`")
        find_fvp(self.executable)

    def run(self, directory: Path, command: str) -> str:
        """See `Board.run`."""
        self.check()
        try:
            done = subprocess.run(
                self.command_line(directory, command),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BoardError(f"the FVP did not finish within {self.timeout_s:g} s") from None
        console = done.stdout.decode("ascii", errors="replace").replace("\r", "")
        if END_OF_TRANSMISSION not in console:
            raise BoardError(f"the FVP {describe_end(done.returncode, console, done.stderr)}")
        return console

    def command_line(self, directory: Path, command: str) -> list[str]:
        """Arguments of one run; parameter names as `FVP_... --list-params` prints them."""
        parameters = {
            "ethosu.num_macs": str(self.macs_per_cycle),
            "cpu0.semihosting-enable": "1",
            # The firmware brings its own stack and has no heap.
            "cpu0.semihosting-stack_base": "0",
            "cpu0.semihosting-heap_limit": "0",
            "cpu0.semihosting-cwd": str(directory),
            "cpu0.semihosting-cmd_line": command,
            "mps3_board.uart0.out_file": "-",
            "mps3_board.uart0.shutdown_on_eot": "1",
            "mps3_board.telnetterminal0.start_telnet": "0",
            "mps3_board.visualisation.disable-visualisation": "1",
        }
        return [
            str(find_fvp(self.executable)),
            *("-a", str(self.firmware.resolve())),
            *("--data", f"{PACKAGE_FILE}@{MODEL_ADDRESS:#x}"),
            *(word for name, value in parameters.items() for word in ("-C", f"{name}={value}")),
        ]
