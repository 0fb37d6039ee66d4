"""A stand-in for the enhancer, compiled by Vela."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from enhancer_model import BANDS
from numpy.typing import NDArray

from pipeline.boards.package import GoldenHops
from pipeline.dsp import FrontEnd
from pipeline.ethosu import vela
from pipeline.ethosu.model import VelaModel, load_vela_model
from pipeline.runners import stream
from pipeline.runners.emulator import EmulatorRunner


@dataclass(frozen=True)
class Compiled:
    """A TFLite file, what Vela made of it, and a front end for it."""

    tflite: bytes
    vela_path: Path
    front_end: FrontEnd

    @cached_property
    def vela(self) -> VelaModel:
        return load_vela_model(self.vela_path)

    @cached_property
    def emulator(self) -> EmulatorRunner:
        return EmulatorRunner(self.vela_path)

    def masks(self, features: NDArray[Any]) -> NDArray[Any]:
        """[T, bands] stored features to stored masks, state carried from zero, by the emulator."""
        return stream(self.emulator, features)

    def golden(self, hops: int) -> GoldenHops:
        dtype = self.emulator.inputs["features"].dtype
        info = np.iinfo(dtype)
        rng = np.random.default_rng(2)
        features = rng.integers(info.min, info.max, (hops, BANDS), dtype, endpoint=True)
        return GoldenHops(features, self.masks(features))


def compile_model(directory: Path, model: bytes) -> Compiled:
    source = directory / "enhancer.tflite"
    source.write_bytes(model)
    result = vela.compile(source, directory, "ethos-u55-128")
    front_end = FrontEnd(
        np.linspace(0.1, 0.5, BANDS, dtype=np.float32), np.full(BANDS, 0.2, np.float32)
    )
    return Compiled(source.read_bytes(), result.path, front_end)
