"""Runners by name."""

from pathlib import Path
from typing import Literal

from pipeline.targets import Runner
from pipeline.targets.tflite import TfliteRunner
from pipeline.targets.tflm import TflmRunner

RunnerName = Literal["tflite", "tflm"]


def load_runner(name: RunnerName, model: Path) -> Runner:
    """Open a one-hop TFLite model in the TFLite interpreter or in TFLite Micro."""
    return TfliteRunner(model) if name == "tflite" else TflmRunner(model)
