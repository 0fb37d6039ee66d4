"""Gradual pruning by magnitude."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.compression.method import Plan, Sparsity, Structured

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class Prune(Structured):
    """Remove groups of small magnitude along a schedule, while the rest is trained.

    Layer-adaptive magnitude (Lee et al., 2021) along a cubic schedule (Zhu & Gupta, 2017). Blocks
    of 1 x N are those of Lin et al. (2022, arXiv 2105.14713), chosen by the same criterion as all
    else in the place of theirs.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["prune"]
    sparsity: Sparsity
    """Share of the weights, blocks or units removed, those counted that the parent lacks."""

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.pruner import GradualPruner
        from pipeline.compression.schedule import RisingSparsity

        schedule = RisingSparsity(self.sparsity, plan.prune_end, plan.every_steps)
        return [GradualPruner(model, self.structure_of(model.graph), schedule)]
