"""Section `compile`: the NPU and the memories around it, by the names that Vela knows."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.section import Distinct, Section
from pipeline.ethosu.memory_system import memory_system
from pipeline.ethosu.npu import NpuName
from pipeline.ethosu.vela_config import DEFAULT_SYSTEM, VelaConfig


class Compile(Section):
    """Vela."""

    accelerator: NpuName = "ethos-u55-128"
    """NPU configuration."""
    system: str = DEFAULT_SYSTEM
    """Vela system configuration: clock and memory bandwidths."""
    memory_modes: Annotated[tuple[str, ...], Field(min_length=1), Distinct] = (
        "Shared_Sram",
        "Sram_Only",
    )
    """Shared_Sram: weights stay in flash; Sram_Only: weights in SRAM."""
    # Left out of files and keys where there is none: those without stay as they are.
    vela_config: Annotated[Path | None, Field(exclude_if=lambda path: path is None)] = None
    """Your own systems and memory modes, a file like Vela's vela.ini; Arm's stay known."""

    @model_validator(mode="after")
    def _vela_knows_them(self) -> "Compile":
        config = VelaConfig.load(self.vela_config)
        for mode in self.memory_modes:
            memory_system(self.system, mode, config)
        return self
