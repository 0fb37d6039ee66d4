"""From a model file and its card to a package, and what a run of it on a board showed."""

from __future__ import annotations

import struct
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
# ELF section header: type and flags.
_HAS_NO_CONTENT, _IS_LOADED, _IS_WRITABLE = 8, 2, 1
# Memory that the firmware lends to engines; the model's own use of it is reported.
_SHARED_MEMORY_SECTIONS = {".npu_sram"}


class _FrontEndFields(BaseModel):
    mean: list[float]
    deviation: list[float]


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
        """The feature standardization the model was trained with."""
        return FrontEnd(
            np.asarray(self.front_end.mean, np.float32),
            np.asarray(self.front_end.deviation, np.float32),
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
class ImageSize:
    """What a firmware image takes without any model: bytes of flash and of RAM."""

    flash_bytes: int
    ram_bytes: int


def image_size(image: Path) -> ImageSize:
    """Add up the loaded sections of a 32-bit ELF file.

    Raises:
        TargetError: not such a file.
    """
    content = image.read_bytes()
    try:
        if content[:5] != b"\x7fELF\x01":
            raise TargetError(f"{image}: not a 32-bit ELF file")
        (table,) = struct.unpack_from("<I", content, 32)
        size, count, names_index = struct.unpack_from("<HHH", content, 46)
        headers = [struct.unpack_from("<6I", content, table + size * i) for i in range(count)]
    except (struct.error, IndexError) as error:
        raise TargetError(f"{image}: damaged ELF file ({error})") from error
    names_offset = headers[names_index][4]
    flash = ram = 0
    for name, kind, flags, _, _, length in headers:
        start = names_offset + name
        text = content[start : content.index(b"\0", start)].decode(errors="replace")
        if not flags & _IS_LOADED or text in _SHARED_MEMORY_SECTIONS:
            continue
        flash += length if kind != _HAS_NO_CONTENT else 0
        ram += length if flags & _IS_WRITABLE else 0
    return ImageSize(flash, ram)


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
