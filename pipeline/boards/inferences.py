"""What a board makes of a model without a front end, compared byte by byte."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pipeline.boards.board import Board, infer
from pipeline.boards.infer import count_differences, random_inputs, run_reference
from pipeline.boards.package import ModelPackage
from pipeline.deployed import Deployed
from pipeline.runners import states_of
from pipeline.runners.emulator import EmulatorRunner


class Inferences(BaseModel):
    """A model on a board over random inputs; cycles are means over the inferences.

    Attributes:
        bytes_compared: of all outputs.
        bytes_differing: from those of the NPU emulator.
    """

    model_config = ConfigDict(frozen=True)
    inferences: int
    npu_cycles: float
    package_bytes: int
    arena_bytes: int
    bytes_compared: int
    bytes_differing: int


def compared_inferences(board: Board, package: ModelPackage, compiled: Deployed) -> Inferences:
    """Run a compiled model on a board and in the emulator, on the same random inputs.

    Raises:
        as `pipeline.boards.board.infer`.
    """
    inputs = random_inputs(package.inputs)
    outputs, log = infer(board, package, inputs)
    emulator = EmulatorRunner(compiled.tflite)
    states = {name: emulator.inputs[name].zeros() for name in states_of(emulator)}
    expected = run_reference(emulator.step, states, inputs)
    compared, differing = count_differences(outputs, expected)
    assert log.summary is not None and log.model is not None
    return Inferences(
        inferences=len(inputs),
        npu_cycles=log.summary.npu_total_cycles / len(inputs),
        package_bytes=log.model.package_bytes,
        arena_bytes=log.model.arena_bytes,
        bytes_compared=compared,
        bytes_differing=differing,
    )
