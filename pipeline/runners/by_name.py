"""Runners by name."""

from pathlib import Path
from typing import Literal

from pipeline.runners import Runner
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner

RunnerName = Literal["tflite", "tflm", "emulator"]


def load_runner(name: RunnerName, model: Path, compiled: Path) -> Runner:
    """Open a one-hop model in the TFLite interpreter, in TFLite Micro or on the emulated NPU.

    Args:
        name: which runner.
        model: the ``.tflite`` file.
        compiled: the same model compiled by Vela.
    """
    if name == "emulator":
        return EmulatorRunner(compiled)
    return TfliteRunner(model) if name == "tflite" else TflmRunner(model)
