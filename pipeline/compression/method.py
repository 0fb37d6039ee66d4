"""What a compression method is: its own settings, and what it does before and while training.

A method is one module in `pipeline.compression.methods`, which finds it by itself. It may change a
network before training (`start`) and act between the steps of the optimizer (`callbacks`). What it
leaves are weights, masks and graphs, which every later stage understands.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.networks.graph import HopGraph

if TYPE_CHECKING:
    from pipeline.compression.structures import Structure
    from pipeline.networks.trained import Trained
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel

StructureName = Literal["weight", "block", "unit"]
Positive = Annotated[int, Field(gt=0)]
Sparsity = Annotated[float, Field(gt=0.0, lt=1.0)]
Block = tuple[Positive, Positive]
DEFAULT_BLOCK: Block = (8, 8)


@dataclasses.dataclass(frozen=True)
class Plan:
    """When the methods of a training act.

    Attributes:
        steps: of the optimizer.
        prune_end: step from which masks rest.
        every_steps: steps between updates.
    """

    steps: int
    prune_end: int
    every_steps: int

    @property
    def cluster_end(self) -> int:
        """Half way between the end of pruning and the end."""
        return (self.prune_end + self.steps) // 2


class Method(BaseModel):
    """Settings of one method; subclasses give `do` a value of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    trains: ClassVar[bool] = True
    """Whether the network is trained with it; if not, nothing else happens in its variant."""
    scheduled: ClassVar[bool] = False
    """Whether it needs `Plan.prune_end`."""

    do: str
    """Which method."""

    @property
    def kind(self) -> str | None:
        """What plots call a model it was applied to; None if it leaves that to others."""
        return None

    @property
    def resizes(self) -> bool:
        """Whether matrices have other shapes afterwards."""
        return False

    @property
    def files(self) -> dict[str, Path]:
        """Files that it reads, by the setting that names them."""
        return {}

    def check(self, graph: HopGraph, before: "Sequence[Method]") -> None:
        """Refuse what cannot work.

        Args:
            graph: the dense network's.
            before: all methods that are applied before, ancestors' first.

        Raises:
            InputError: says why.
        """

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        """The network to train; ``features`` ``[batch, time, bands]`` are of real audio."""
        return trained

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        """What acts between the steps."""
        return []

    def findings(self, model: "SequenceModel") -> dict[str, Any]:
        """What the trained network told, for the card: JSON data."""
        return {}

    def last_change(self, plan: Plan) -> int:
        """First step after which nothing but training changes the weights."""
        return plan.prune_end + 1 if self.scheduled else 0


class Factoring(Method):
    """A method that puts factors in the place of matrices."""

    @property
    def kind(self) -> str:
        return "rank"

    @property
    def resizes(self) -> bool:
        return True


class Narrowing(Method):
    """A method that removes channels."""

    @property
    def kind(self) -> str:
        return "unit"

    @property
    def resizes(self) -> bool:
        return True


class Structured(Method):
    """A method that removes or pulls groups of weights."""

    structure: StructureName = "weight"
    """What belongs together: single weights, blocks, or units with all they are tied to."""
    block: Block | None = None
    """Inputs and outputs of a block (structure = "block"); none: 8 x 8."""

    @model_validator(mode="after")
    def _block_is_used(self) -> "Structured":
        if self.block is not None and self.structure != "block":
            raise ValueError('block is used with structure = "block" alone')
        return self

    @property
    def kind(self) -> str | None:
        return self.structure

    @property
    def resizes(self) -> bool:
        return self.structure == "unit"

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        if not any(method.resizes for method in before):
            self.structure_of(graph)

    def structure_of(self, graph: HopGraph) -> "Structure":
        """The groups of a network.

        Raises:
            InputError: blocks do not fit a matrix; names it.
        """
        from pipeline.compression.structures import BlockStructure, UnitStructure, WeightStructure
        from pipeline.networks.groups import groups

        shapes = graph.matrices()
        if self.structure == "block":
            return BlockStructure(shapes, *(self.block or DEFAULT_BLOCK))
        if self.structure == "unit":
            return UnitStructure(shapes, groups(graph))
        return WeightStructure(shapes)
