"""Section `study`: where all variants are compiled for, and which are repeated."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.section import Distinct, Positive, Section, Seed
from pipeline.ethosu.npu import NpuName
from pipeline.ethosu.vela_config import DEFAULT_SYSTEM

# Memory modes that a study compares: weights in flash, and in SRAM.
PLACEMENT_MODES = ("Shared_Sram", "Sram_Only")


class Deployment(Section):
    """An NPU and the memories around it."""

    accelerator: NpuName = "ethos-u55-128"
    """NPU configuration, by Vela's name."""
    system: str = DEFAULT_SYSTEM
    """Vela system configuration: clock and memory bandwidths."""


class Study(Section):
    """Trade-off between quality, size and speed over all variants (`pipeline.sweep`)."""

    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1), Distinct] = (
        Deployment(),
        Deployment(accelerator="ethos-u55-32"),
        Deployment(accelerator="ethos-u55-64"),
        Deployment(accelerator="ethos-u55-256"),
        Deployment(system="Ethos_U55_Deep_Embedded"),
    )
    """Where every model is compiled for; headlines are about the first."""
    sram_bytes: Positive = 320 * 1024
    """SRAM for the arena and for weights copied at boot; what does not fit stays in flash."""
    headline: Annotated[tuple[str, ...], Distinct] = ()
    """Variants repeated, with the models they come from, for each of `seeds`."""
    seeds: Annotated[tuple[Seed, ...], Distinct] = ()
    """Seeds of the repetitions, `seed` excepted."""
    cpus: Positive | None = None
    """CPUs a local Ray may use; none: all. A cluster (RAY_ADDRESS) knows its own."""

    @model_validator(mode="after")
    def _repetitions_are_whole(self) -> "Study":
        for given, missing in pairwise(("headline", "seeds", "headline")):
            if getattr(self, given) and not getattr(self, missing):
                raise ValueError(f"{given} repeats nothing without {missing}; give both")
        return self
