"""What is kept of every point, checked as it is read."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from pipeline.artefacts import Card, write_json
from pipeline.config import DENSE, Variant
from pipeline.deployed import ComputedShare
from pipeline.errors import InputError
from pipeline.ethosu.vela import FlashBytes
from pipeline.reporting.results import Count, Statistic

Split = Literal["valid", "test"]
Placement = Literal["flash", "sram_copy", "sram"]
PLACEMENTS: dict[Placement, str] = {
    "flash": "weights in flash",
    "sram_copy": "weights copied to SRAM at boot",
    "sram": "weights in SRAM",
}


class StudyError(InputError):
    """A point is damaged, missing or could not be made."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quality(_Record):
    """One metric each of some clips."""

    si_sdr_db: Statistic
    sdr_db: Statistic
    pesq_wb: Statistic
    stoi: Statistic


class Boot(_Record):
    """Copying the constants to SRAM once; cycles at the flash's bandwidth."""

    bytes: Count
    cycles: Count


class Cost(_Record):
    """One hop of a compiled model on one NPU.

    Attributes:
        placement: where the constants are while the NPU runs.
        source: who says so.
        accelerator: NPU configuration.
        system: clock and memory bandwidths.
        memory_mode: Vela's.
        flash: bytes in flash.
        arena_bytes: tensors.
        sram_bytes: arena, and the constants if they lie there too.
        npu_cycles: of the NPU alone.
        total_cycles: with the waiting for memory.
        clock_hz: of the system.
        latency_us: total cycles as time.
        boot: before the first hop; None if nothing is copied.
    """

    placement: Placement
    source: Literal["vela"]
    accelerator: str
    system: str
    memory_mode: str
    flash: FlashBytes
    arena_bytes: Count
    sram_bytes: Count
    npu_cycles: Count
    total_cycles: Count
    clock_hz: FiniteFloat
    latency_us: FiniteFloat
    boot: Boot | None


class _File(_Record):
    """A record that is a file."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check.

        Raises:
            StudyError: names the file, the field and how to mend it.
        """
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StudyError(
                f"{path}: not a point of the study ({_reason(error)}); delete it and run "
                "`python -m pipeline.sweep` again"
            ) from error

    @classmethod
    def of(cls, card: Card) -> Self:
        """What a finished item of the study holds."""
        return cls.model_validate(card.results | {"key": card.key})

    def results(self) -> dict[str, Any]:
        """As results of an item, which has a key already."""
        return self.model_dump(mode="json", exclude={"key"})

    def save(self, path: Path) -> None:
        """Write atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.model_dump(mode="json"))


class Reference(_File):
    """What every point is compared with, on the same clips.

    Attributes:
        key: of the item that holds it.
        split: whose mixtures were scored.
        parameters: weights and biases of the dense network, each 4 bytes in float32.
        systems: the noisy input, peers, the ideal mask and the dense float network.
        clips: scores of the dense float network clip by clip, for paired differences.
    """

    key: str = ""
    split: Split
    parameters: Count
    systems: dict[str, Quality]
    clips: dict[str, dict[str, FiniteFloat | None]]


PartShare = Annotated[ComputedShare | None, Field(exclude_if=lambda share: share is None)]


class Point(_File):
    """One compressed model: how it was made, how good it is, what it costs.

    Attributes:
        key: of the item that holds it.
        name: of the model.
        base: variant it is, or repeats with another seed.
        seed: of its compression.
        chain: variants from the dense network to this one.
        split: whose mixtures were scored.
        units: left in each group.
        sparsity: share of weights that the last step left out, by matrix and of ``all``.
        weights_left: that are not masked, in the whole network.
        scheme: integer scheme.
        zero_weights: share of zeros among the stored integers.
        mismatching: TFLite Micro's outputs that differ from TFLite's.
        computed_share: of the hops, see `deployed.Proof`.
        computed_in_speech, computed_in_pauses: likewise; none if they were not told apart.
        quality: mean metrics.
        change: mean of the clip-by-clip differences to the dense float network.
        costs: by deployment and placement; the first deployment is the reference.
        versions: tools.
    """

    key: str = ""
    name: str
    base: str
    seed: int
    chain: Annotated[tuple[Variant, ...], Field(min_length=1)]
    split: Split
    units: dict[str, Count]
    sparsity: dict[str, FiniteFloat]
    weights_left: Count
    scheme: str
    zero_weights: FiniteFloat
    mismatching: Count
    computed_share: ComputedShare = 1.0
    computed_in_speech: PartShare = None
    computed_in_pauses: PartShare = None
    quality: Quality
    change: Quality
    costs: Annotated[tuple[Cost, ...], Field(min_length=1)]
    versions: dict[str, str]

    def cost(self, placement: Placement) -> Cost | None:
        """On the reference deployment; None where the model does not fit."""
        first = self.costs[0]
        return self.cost_on(first.accelerator, first.system, placement)

    def cost_on(self, accelerator: str, system: str, placement: Placement) -> Cost | None:
        """On one deployment; None where the model does not fit or was not compiled."""
        wanted = (accelerator, system, placement)
        found = (c for c in self.costs if (c.accelerator, c.system, c.placement) == wanted)
        return next(found, None)

    @property
    def structure(self) -> str:
        """What kind of model it is, by what its chain has removed, or by who removed it."""
        if any(variant.toolkit for variant in self.chain):
            return "toolkit"
        named = (method.kind for variant in self.chain for method in variant.methods)
        kinds = {kind for kind in named if kind is not None}
        if "offline" in kinds:
            return "offline"
        if len(kinds) > 1:
            return "combination"
        return kinds.pop() if kinds else "dense"


def points_in(folder: Path) -> Path:
    """Where a study keeps its points."""
    return folder / "points"


def read_study(folder: Path) -> tuple[Reference, tuple[Point, ...]]:
    """Read the reference and all points, in the order of their names.

    Raises:
        StudyError: there is none, or one is damaged.
    """
    paths = sorted(points_in(folder).glob("*.json"))
    reference = points_in(folder) / f"{DENSE}.json"
    points = tuple(Point.load(path) for path in paths if path != reference)
    if not points or reference not in paths:
        raise StudyError(
            f"{points_in(folder)}: holds no finished study; run "
            f"`python -m pipeline.sweep --export {folder}`"
        )
    return Reference.load(reference), points


def _reason(error: Exception) -> Any:
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
    return error
