"""Running the firmware on a board: what is the same for every board, real or virtual."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.boards.package import ModelPackage
from pipeline.boards.protocol import FirmwareLog
from pipeline.dsp import RATE_HZ
from pipeline.errors import PipelineError
from pipeline.runners import Array, TargetError, TensorSpec, check_inputs

PACKAGE_FILE = "model.package"
_NOISY_FILE, _ENHANCED_FILE, _TRACE_FILE = "noisy.wav", "enhanced.wav", "trace.bin"
_INPUTS_FILE, _OUTPUTS_FILE = "inputs.bin", "outputs.bin"


class BoardError(PipelineError, RuntimeError):
    """The board or its simulator could not be used; the text says how to mend that."""


def describe_end(exit_code: int, console: str, errors: bytes) -> str:
    """How a simulator ended before the firmware did, with its last words.

    Args:
        exit_code: of the process; below 0 the signal that killed it.
        console: what the firmware had written.
        errors: what the simulator had written.
    """
    how = f"ended with exit code {exit_code}"
    if exit_code < 0:
        how = f"was killed by signal {-exit_code} ({signal.strsignal(-exit_code)})"
    words = errors.decode(errors="replace").strip() or console.strip() or "nothing"
    return f"{how} before the firmware had ended; it said: {words[-400:]}"


class Board(Protocol):
    """Runs the firmware once."""

    def check(self) -> None:
        """See that all it needs is there.

        Raises:
            BoardError: the firmware or the simulator is missing; says how to get it.
        """
        ...

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
    fields = (("features", package.inputs[0]), ("mask", package.outputs[0]))
    return np.dtype([(name, spec.dtype, int(np.prod(spec.shape))) for name, spec in fields])


def infer(
    board: Board, package: ModelPackage, inputs: Sequence[Mapping[str, Array]]
) -> tuple[list[dict[str, Array]], FirmwareLog]:
    """Run a model on a board, one inference after the other, states carried over from zero.

    Args:
        board: where.
        package: the model.
        inputs: of each inference by tensor name, at least one.

    Returns:
        The outputs of each inference by tensor name, and every report of the firmware.

    Raises:
        TargetError: inputs that are not those of the model, or none.
        as `enhance`.
    """
    if not inputs:
        raise TargetError("there is nothing to run: no inference is given")
    specs = {spec.name: spec for spec in package.inputs}
    for values in inputs:
        check_inputs(specs, values)
    with tempfile.TemporaryDirectory(prefix="board-") as name:
        directory = Path(name)
        (directory / PACKAGE_FILE).write_bytes(package.content)
        stored = b"".join(values[name].tobytes() for values in inputs for name in specs)
        (directory / _INPUTS_FILE).write_bytes(stored)
        log = FirmwareLog.parse(board.run(directory, f"run {_INPUTS_FILE} {_OUTPUTS_FILE}"))
        log.raise_for_error()
        content = (directory / _OUTPUTS_FILE).read_bytes()
    size = sum(spec.size_bytes for spec in package.outputs)
    if len(content) != size * len(inputs):
        raise BoardError(f"{len(content)} bytes came out; expected {size} of each inference")
    return [split_tensors(content[start : start + size], package.outputs) for start in
            range(0, len(content), size)], log  # fmt: skip


def split_tensors(content: bytes, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Tensors that lie one after the other."""
    outputs = {}
    for spec in specs:
        values = np.frombuffer(content[: spec.size_bytes], spec.dtype)
        outputs[spec.name] = values.reshape(spec.shape)
        content = content[spec.size_bytes :]
    return outputs


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
