"""A compiled stand-in for the enhancer, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from enhancer_model import BANDS, enhancer_model
from numpy.typing import NDArray

from pipeline.dsp import FrontEnd
from pipeline.ethosu import vela
from pipeline.ethosu.emulator import Emulator
from pipeline.ethosu.model import VelaModel, load_vela_model
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

    def masks(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """[T, bands] features to masks, state carried from zero, by the emulator alone."""
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
        return np.array(masks, np.int8)

    def golden(self, hops: int) -> GoldenHops:
        features = np.random.default_rng(2).integers(-128, 128, (hops, BANDS)).astype(np.int8)
        return GoldenHops(features, self.masks(features))


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    directory = tmp_path_factory.mktemp("model")
    source = directory / "enhancer.tflite"
    source.write_bytes(enhancer_model())
    result = vela.compile(source, directory, "ethos-u55-128")
    front_end = FrontEnd(
        np.linspace(0.1, 0.5, BANDS, dtype=np.float32), np.full(BANDS, 0.2, np.float32)
    )
    return Compiled(
        source.read_bytes(),
        result.path.read_bytes(),
        load_vela_model(result.path),
        front_end,
    )
