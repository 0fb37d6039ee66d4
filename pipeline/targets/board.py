"""Running the firmware on a board: what is the same for every board, real or virtual."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.dsp import RATE_HZ
from pipeline.errors import PipelineError
from pipeline.targets import Array
from pipeline.targets.package import ModelPackage
from pipeline.targets.protocol import FirmwareLog

PACKAGE_FILE = "model.package"
_NOISY_FILE, _ENHANCED_FILE, _TRACE_FILE = "noisy.wav", "enhanced.wav", "trace.bin"


class BoardError(PipelineError, RuntimeError):
    """The board or its simulator could not be used; the text says how to mend that."""


class Board(Protocol):
    """Runs the firmware once."""

    def run(self, directory: Path, command: str) -> str:
        """Run with the model package `PACKAGE_FILE` of `directory` in the board's memory.

        Args:
            directory: holds the package; file names in the command are relative to it.
            command: the firmware's command line.

        Returns:
            What the console showed.

        Raises:
            BoardError: the simulator is missing, fails to start, or does not end in time.
        """
        ...


@dataclass(frozen=True)
class Enhanced:
    """What came out of the board for one noisy file.

    Attributes:
        samples: int16 [N], as many as went in, in step with them.
        features: [T, bands], the network's stored input of each hop.
        mask: [T, bands], its stored output.
        log: every report of the firmware.
    """

    samples: NDArray[np.int16]
    features: Array
    mask: Array
    log: FirmwareLog


def enhance(board: Board, package: ModelPackage, noisy: NDArray[np.int16]) -> Enhanced:
    """Enhance int16 [N] samples at 16 kHz on a board.

    Raises:
        BoardError: the board could not be used.
        ProtocolError: its console output was not sound.
        FirmwareError: the firmware refused the package or the audio, or failed.
    """
    with tempfile.TemporaryDirectory(prefix="board-") as name:
        directory = Path(name)
        (directory / PACKAGE_FILE).write_bytes(package.content)
        soundfile.write(directory / _NOISY_FILE, noisy, RATE_HZ, subtype="PCM_16")
        console = board.run(directory, f"enhance {_NOISY_FILE} {_ENHANCED_FILE} {_TRACE_FILE}")
        log = FirmwareLog.parse(console)
        log.raise_for_error()
        samples, _ = soundfile.read(directory / _ENHANCED_FILE, dtype="int16")
        trace = np.fromfile(directory / _TRACE_FILE, _hop_type(package))
    return Enhanced(samples, trace["features"], trace["mask"], log)


def _hop_type(package: ModelPackage) -> np.dtype[np.void]:
    """What the firmware writes to the trace in each hop."""
    fields = (("features", package.features), ("mask", package.mask))
    return np.dtype([(name, spec.dtype, int(np.prod(spec.shape))) for name, spec in fields])


def benchmark(board: Board, package: ModelPackage, passes: int = 1) -> FirmwareLog:
    """Replay the package's golden hops and compare every byte on the board.

    Raises:
        as `enhance`; a mismatch is a `FirmwareError` named golden_mismatch.
    """
    log = run_command(board, package.content, f"benchmark {passes}")
    log.raise_for_error()
    return log


def run_command(board: Board, package: bytes, command: str) -> FirmwareLog:
    """Run any firmware command and return its reports, errors included."""
    with tempfile.TemporaryDirectory(prefix="board-") as name:
        directory = Path(name)
        (directory / PACKAGE_FILE).write_bytes(package)
        return FirmwareLog.parse(board.run(directory, command))
