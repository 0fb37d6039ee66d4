"""Pulls on groups of weights, so that structure emerges before it is cut."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.compression.method import Plan, Structured

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class Regularize(Structured):
    """Pull weak groups to zero until pruning ends; another method cuts them.

    Group lasso (Yuan & Lin, 2006) or Hoyer-square (DeepHoyer, Yang et al., 2020, arXiv 1908.09979).
    Reconstructed: the pull is decoupled from Adam's gradient, its strength is a share of the norm
    instead of a factor of the loss, and a share asked for is cut instead of all below a threshold.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["regularize"]
    regularizer: Literal["group_lasso", "hoyer_square"]
    """What is pulled how strongly."""
    strength: Annotated[float, Field(gt=0, le=0.1)] = 5e-4
    """Share of its norm by which a typical group shrinks at a step."""

    @property
    def kind(self) -> None:
        return None

    @property
    def resizes(self) -> bool:
        return False

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.regularizers import Regularizer

        structure = self.structure_of(model.graph)
        return [Regularizer(model, structure, self.regularizer, self.strength, plan.prune_end)]
