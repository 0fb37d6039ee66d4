"""From a model file and its card to a package, and what a run of it on a board showed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.dsp import FrontEnd
from pipeline.ethosu import vela
from pipeline.ethosu.model import load_vela_model
from pipeline.targets import TargetError
from pipeline.targets.board import Board, Enhanced, enhance
from pipeline.targets.memory_timing import HIGH_END_EMBEDDED
from pipeline.targets.package import ModelPackage, pack_npu_model
from pipeline.targets.package_layout import WeightsPlacement

MemoryMode = Literal["Shared_Sram", "Sram_Only"]
_PLACEMENTS: dict[MemoryMode, WeightsPlacement] = {
    "Shared_Sram": WeightsPlacement.FLASH,
    "Sram_Only": WeightsPlacement.SRAM_AT_BOOT,
}
_MEMORY_TIMINGS = {"Ethos_U55_High_End_Embedded": HIGH_END_EMBEDDED}


class _FrontEndFields(BaseModel):
    mean: list[float]
    deviation: list[float]
    conditioned: bool = False


class DeploymentCard(BaseModel):
    """The fields of a model's card that deployment needs; others are ignored."""

    model_config = ConfigDict(frozen=True)
    front_end: _FrontEndFields
    memory_mode: MemoryMode = "Shared_Sram"

    @classmethod
    def read(cls, path: Path) -> DeploymentCard:
        """Read `<model>.card.json`.

        Raises:
            TargetError: the file is missing or a field is missing or wrong; the text names it.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise TargetError(f"{path}: every model needs a card beside it ({error})") from error
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise TargetError(f"{path}: {field}: {problem['msg']}") from error

    def to_front_end(self) -> FrontEnd:
        """The front end the model was trained with."""
        return FrontEnd(
            np.asarray(self.front_end.mean, np.float32),
            np.asarray(self.front_end.deviation, np.float32),
            self.front_end.conditioned,
        )


def card_path(model: Path) -> Path:
    """Where the card of `<name>.tflite` lies: `<name>.card.json` beside it."""
    return model.with_suffix(".card.json")


def package_model(
    model: Path,
    scratch: Path,
    *,
    accelerator: str = "ethos-u55-128",
    system_config: str = "Ethos_U55_High_End_Embedded",
) -> ModelPackage:
    """Compile a model as its card says and package it for the firmware's `npu` engine.

    Args:
        model: `.tflite` with its card beside it.
        scratch: where the compiled model is left.
        accelerator: NPU to compile for.
        system_config: Vela's name of the memory system.

    Raises:
        TargetError: a card or model that does not fit.
        EthosUError: Vela cannot map the whole model to the NPU.
    """
    card = DeploymentCard.read(card_path(model))
    compiled = vela.compile(model, scratch, accelerator, system_config, card.memory_mode)
    return pack_npu_model(
        load_vela_model(compiled.path),
        card.to_front_end(),
        placement=_PLACEMENTS[card.memory_mode],
        memory_timing=_MEMORY_TIMINGS.get(system_config),
    )


@dataclass(frozen=True)
class Measurement:
    """One model on one board: sizes in bytes, means over all hops, and the audio that came out.

    CPU ticks cover features and synthesis, not the wait for the NPU.
    """

    result: Enhanced
    engine: str
    package_bytes: int
    arena_bytes: int
    weights_in_sram_bytes: int
    npu_cycles: float
    cpu_ticks: float
    real_time_factor: float


def measure(board: Board, package: ModelPackage, noisy: NDArray[np.int16]) -> Measurement:
    """Enhance int16 [N] samples on a board.

    Raises:
        as `enhance`.
    """
    result = enhance(board, package, noisy)
    log = result.log
    if log.model is None or log.summary is None or not log.hops:
        raise TargetError("the firmware reported neither model nor hops")
    return Measurement(
        result=result,
        engine=log.model.engine,
        package_bytes=log.model.package_bytes,
        arena_bytes=log.model.arena_bytes,
        weights_in_sram_bytes=log.model.weights_bytes
        if log.model.weights_placement == "sram"
        else 0,
        npu_cycles=float(np.mean([hop.npu_total_cycles for hop in log.hops])),
        cpu_ticks=float(np.mean([h.features_ticks + h.synthesis_ticks for h in log.hops])),
        real_time_factor=log.summary.real_time_factor_ppm / 1e6,
    )
