"""From a model file and its card to a package, and what a run of it on a board showed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from ethosu.vela.tflite.Model import Model
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.boards.board import Board, Enhanced, enhance
from pipeline.boards.memory_timing import HIGH_END_EMBEDDED
from pipeline.boards.package import ModelPackage, pack_npu_model, pack_tflite_model
from pipeline.boards.package_layout import WeightsPlacement
from pipeline.dsp import HOP_SAMPLES, RATE_HZ, FrontEnd
from pipeline.ethosu import vela
from pipeline.ethosu.model import load_vela_model
from pipeline.runners import TargetError
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflm import TflmRunner

Engine = Literal["npu", "tflm", "tflm-cpu"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
MemoryMode = Literal["Shared_Sram", "Sram_Only"]
MEMORY_MODES: tuple[MemoryMode, ...] = get_args(MemoryMode)
_PLACEMENTS: dict[MemoryMode, WeightsPlacement] = {
    "Shared_Sram": WeightsPlacement.FLASH,
    "Sram_Only": WeightsPlacement.SRAM_AT_BOOT,
}
_NPU_OPERATOR = b"ethos-u"
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


@dataclass(frozen=True)
class CompileTarget:
    """What a model is compiled for: an NPU, and Vela's names of the memories behind it.

    Without a memory mode, the model's card decides.
    """

    accelerator: str = "ethos-u55-128"
    system_config: str = "Ethos_U55_High_End_Embedded"
    memory_mode: MemoryMode | None = None


def package_model(
    model: Path,
    scratch: Path,
    target: CompileTarget = CompileTarget(),
    *,
    engine: Engine = "npu",
    has_front_end: bool = True,
) -> ModelPackage:
    """Compile a model and package it for an engine of the firmware.

    Args:
        model: `.tflite`, or what Vela made of it; with its card beside it if it has a front end.
        scratch: where the compiled model is left.
        target: what to compile for; the memory mode also says where a compiled model's weights go.
        engine: `npu` takes Vela's command stream, `tflm` the file that Vela wrote and `tflm-cpu`
            the model as it is, for TensorFlow Lite Micro without the NPU.
        has_front_end: whether the model takes features and gives a mask. Any other model is
            packaged too: the firmware runs it, but does not enhance audio.

    Raises:
        TargetError: a card or model that does not fit.
        EthosUError: Vela cannot map the whole model to the NPU.
    """
    has_card = has_front_end or card_path(model).is_file()
    card = DeploymentCard.read(card_path(model)) if has_card else None
    memory_mode = target.memory_mode or (card.memory_mode if card else "Shared_Sram")
    front_end = card.to_front_end() if card and has_front_end else None
    timing = _MEMORY_TIMINGS.get(target.system_config)
    if engine == "tflm-cpu":
        content = model.read_bytes()
        return pack_tflite_model(content, TflmRunner(content), front_end, memory_timing=timing)
    compiled = compiled_form(model, scratch, target, memory_mode)
    if engine == "tflm":
        content, interface = compiled.read_bytes(), EmulatorRunner(compiled)
        return pack_tflite_model(content, interface, front_end, memory_timing=timing)
    return pack_npu_model(
        load_vela_model(compiled),
        front_end,
        placement=_PLACEMENTS[memory_mode],
        memory_timing=timing,
    )


def compiled_form(
    model: Path, scratch: Path, target: CompileTarget, memory_mode: MemoryMode
) -> Path:
    """A model as Vela makes it, or as it is where Vela made it."""
    if is_compiled(model):
        return model
    return vela.compile(model, scratch, target.accelerator, target.system_config, memory_mode).path


def is_compiled(model: Path) -> bool:
    """Whether a `.tflite` file holds an operator that Vela made.

    Raises:
        TargetError: there is no file, or another kind of file.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise TargetError(f"{model}: cannot be read ({error.strerror})") from error
    if content[4:8] != b"TFL3":
        raise TargetError(f"{model}: not a TFLite file; convert the model to .tflite first")
    try:
        graph = Model.GetRootAs(content, 0)
        codes = (graph.OperatorCodes(index) for index in range(graph.OperatorCodesLength()))
        return any(code.CustomCode() == _NPU_OPERATOR for code in codes)
    except (struct.error, IndexError, AttributeError, ValueError, TypeError) as error:
        raise TargetError(f"{model}: damaged TFLite file; export it again") from error


@dataclass(frozen=True)
class Measurement:
    """One model on one board: sizes in bytes, means over all hops, and the audio that came out.

    CPU ticks cover features and synthesis; inference ticks the network, or the wait for the NPU
    that computes it. The real-time factor is the time of a hop, both together, over 16 ms.
    """

    result: Enhanced
    engine: str
    package_bytes: int
    arena_bytes: int
    weights_in_sram_bytes: int
    npu_cycles: float
    cpu_ticks: float
    inference_ticks: float
    real_time_factor: float


def measure(board: Board, package: ModelPackage, noisy: NDArray[np.int16]) -> Measurement:
    """Enhance int16 [N] samples on a board.

    Raises:
        as `enhance`.
    """
    result = enhance(board, package, noisy)
    log = result.log
    if log.model is None or log.summary is None or not log.summary.hops:
        raise TargetError("the firmware reported neither model nor hops")
    hops, summary = log.summary.hops, log.summary
    cpu_ticks = (summary.features_ticks + summary.synthesis_ticks) / hops
    inference_ticks = summary.inference_ticks / hops
    hop_ticks = log.start.ticks_per_second * HOP_SAMPLES / RATE_HZ
    return Measurement(
        result=result,
        engine=log.model.engine,
        package_bytes=log.model.package_bytes,
        arena_bytes=log.model.arena_bytes,
        weights_in_sram_bytes=log.model.weights_bytes
        if log.model.weights_placement == "sram"
        else 0,
        npu_cycles=summary.npu_total_cycles / hops,
        cpu_ticks=cpu_ticks,
        inference_ticks=inference_ticks,
        real_time_factor=(cpu_ticks + inference_ticks) / hop_ticks,
    )
