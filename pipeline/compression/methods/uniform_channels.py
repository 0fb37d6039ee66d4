"""The same share of every layer's channels removed, by excitation, magnitude or chance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.compression.method import Method, Narrowing, Plan, Sparsity
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class UniformChannels(Narrowing):
    """Score channels until pruning ends, then remove the same share of those of every layer.

    After UCP (uniform channel pruning, Chang et al., 2020, arXiv 2010.01251). Reconstructed: the
    squeeze-and-excitation blocks start from one on a trained network instead of being trained with
    it from new weights, which learns their average instead of counting it at the end; tied channels
    share the mean of their scores; the average is folded into the weights; a share in eights beside
    the published rule.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["uniform_channels"]
    importance: Literal["excitation", "magnitude", "random"] = "excitation"
    """What says which channels go: trained squeeze-and-excitation blocks; the baselines:
    energy of all that is tied to a channel, or nothing at all."""
    sparsity: Sparsity | None = None
    """Share of every layer's channels removed; none: the published rule, whatever is not above
    0.999 of its layer's mean."""

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        from pipeline.compression.channel_excitation import scored
        from pipeline.networks.groups import groups

        if self.importance == "excitation" and not scored(graph, groups(graph)):
            raise InputError(
                "every matrix of the network is part of a recurrence or makes the output, so no "
                'squeeze-and-excitation block has a place; use importance = "magnitude"'
            )

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.uniform import UniformCut

        return [UniformCut(model, self.importance, self.sparsity, plan.prune_end)]
