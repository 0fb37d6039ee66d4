"""A stand-in for the enhancer, compiled by Vela."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from enhancer_model import BANDS, enhancer_model
from numpy.typing import NDArray

from pipeline.dsp import FrontEnd
from pipeline.ethosu import vela
from pipeline.ethosu.emulator import Emulator
from pipeline.ethosu.model import TensorSpec, VelaModel, load_vela_model
from pipeline.targets.package import GoldenHops


@dataclass(frozen=True)
class Compiled:
    """A TFLite model, what Vela made of it, and a front end for it."""

    tflite: bytes
    vela_tflite: bytes
    vela: VelaModel
    front_end: FrontEnd

    def step(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """One hop by the emulator alone."""
        return Emulator(self.vela).invoke(inputs)

    def masks(self, features: NDArray[Any]) -> NDArray[Any]:
        """[T, bands] stored features to stored masks, state carried from zero, by the emulator."""
        emulator = Emulator(self.vela)
        states = {
            spec.name: np.zeros(spec.shape, spec.dtype)
            for spec in self.vela.inputs
            if spec.name != "features"
        }
        masks = []
        for hop in features:
            outputs = emulator.invoke(states | {"features": hop[None]})
            states = {name: outputs[f"{name}_next"] for name in states}
            masks.append(outputs["mask"][0])
        return np.array(masks)

    def spec(self, name: str) -> TensorSpec:
        return next(s for s in (*self.vela.inputs, *self.vela.outputs) if s.name == name)

    def golden(self, hops: int) -> GoldenHops:
        dtype = self.spec("features").dtype
        info = np.iinfo(dtype)
        rng = np.random.default_rng(2)
        features = rng.integers(info.min, info.max, (hops, BANDS), dtype, endpoint=True)
        return GoldenHops(features, self.masks(features))


def compile_model(directory: Path, dtype: str) -> Compiled:
    source = directory / "enhancer.tflite"
    source.write_bytes(enhancer_model(dtype=dtype))
    result = vela.compile(source, directory, "ethos-u55-128")
    front_end = FrontEnd(
        np.linspace(0.1, 0.5, BANDS, dtype=np.float32), np.full(BANDS, 0.2, np.float32)
    )
    return Compiled(
        source.read_bytes(), result.path.read_bytes(), load_vela_model(result.path), front_end
    )
