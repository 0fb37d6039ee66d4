"""Pruning by thresholds that are learned from the loss."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.compression.method import Plan, Sparsity, Structured

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class LearnThresholds(Structured):
    """Learn one threshold a matrix or layer while sparsity rises along a schedule.

    After TinyLSTMs (Fedorov et al., 2020); `pipeline.compression.thresholds` says what differs.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["learn_thresholds"]
    sparsity: Sparsity
    """Share of the weights, blocks or units removed, those counted that the parent lacks."""

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.schedule import RisingSparsity
        from pipeline.compression.thresholds import LearnedThresholds

        schedule = RisingSparsity(self.sparsity, plan.prune_end, plan.every_steps)
        structure = self.structure_of(model.graph)
        return [LearnedThresholds(model, structure, schedule, self.sparsity)]
