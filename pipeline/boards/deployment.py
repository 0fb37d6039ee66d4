"""From a deployed model to a package, and what a run of it on a board showed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.boards.board import Board, Enhanced, enhance
from pipeline.boards.memory_timing import HIGH_END_EMBEDDED
from pipeline.boards.package import ModelPackage, pack_npu_model, pack_tflite_model
from pipeline.boards.package_layout import WeightsPlacement
from pipeline.deployed import Deployed, MemoryMode
from pipeline.dsp import HOP_SAMPLES, RATE_HZ, FrontEnd
from pipeline.ethosu import vela
from pipeline.ethosu.model import load_vela_model
from pipeline.runners import TargetError
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflm import TflmRunner

Engine = Literal["npu", "tflm", "tflm-cpu"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
_PLACEMENTS: dict[MemoryMode, WeightsPlacement] = {
    "Shared_Sram": WeightsPlacement.FLASH,
    "Sram_Only": WeightsPlacement.SRAM_AT_BOOT,
}
_MEMORY_TIMINGS = {"Ethos_U55_High_End_Embedded": HIGH_END_EMBEDDED}


@dataclass(frozen=True)
class CompileTarget:
    """What a model is compiled for: an NPU, and Vela's names of the memories behind it.

    Without a memory mode, the model's card decides.
    """

    accelerator: str = "ethos-u55-128"
    system_config: str = "Ethos_U55_High_End_Embedded"
    memory_mode: MemoryMode | None = None


def package_model(
    model: Deployed,
    scratch: Path,
    target: CompileTarget = CompileTarget(),
    *,
    engine: Engine = "npu",
    front_end: FrontEnd | None,
    packs_weights: bool = False,
) -> ModelPackage:
    """Compile a model and package it for an engine of the firmware.

    Args:
        model: a `.tflite`, or what Vela made of it.
        scratch: where the compiled model is left.
        target: what to compile for; the memory mode also says where a compiled model's weights go.
        engine: `npu` takes Vela's command stream, `tflm` the file that Vela wrote and `tflm-cpu`
            the model as it is, for TensorFlow Lite Micro without the NPU.
        front_end: the model's, if it is to enhance audio; the firmware runs any other model too.
        packs_weights: whether a compiled model's weights are packed, to be unpacked at boot.

    Raises:
        TargetError: a front end or model that does not fit, or weights that cannot be packed.
        EthosUError: Vela cannot map the whole model to the NPU.
    """
    memory_mode = target.memory_mode or model.card.memory_mode
    timing = _MEMORY_TIMINGS.get(target.system_config)
    if packs_weights and engine != "npu":
        raise TargetError(f"weights are packed for engine npu alone, not for {engine}")
    if engine == "tflm-cpu":
        content = model.tflite.read_bytes()
        return pack_tflite_model(content, TflmRunner(content), front_end, memory_timing=timing)
    compiled = compiled_form(model, scratch, target, memory_mode)
    if engine == "tflm":
        content, interface = compiled.read_bytes(), EmulatorRunner(compiled)
        return pack_tflite_model(content, interface, front_end, memory_timing=timing)
    return pack_npu_model(
        load_vela_model(compiled),
        front_end,
        placement=_PLACEMENTS[memory_mode],
        packs_weights=packs_weights,
        memory_timing=timing,
    )


def compiled_form(
    model: Deployed, scratch: Path, target: CompileTarget, memory_mode: MemoryMode
) -> Path:
    """A model as Vela makes it, or as it is where Vela made it."""
    if model.is_compiled:
        return model.tflite
    return vela.compile(
        model.tflite, scratch, target.accelerator, target.system_config, memory_mode
    ).path


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
