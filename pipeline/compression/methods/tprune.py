"""Lines of attention and feed-forward matrices: which vanish, and their removal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.compression.method import Method, Narrowing, Plan, Sparsity
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel

Strength = Annotated[float, Field(gt=0, le=0.1)]


class _Lines(Method):
    """What both runs have in common."""

    scheduled: ClassVar[bool] = True

    strength: Strength = 5e-4
    """Share of its norm by which a typical line shrinks at a step."""

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        from pipeline.compression.lines import line_groups

        if not line_groups(graph):
            raise InputError(
                f"{self.do} is for attention and feed-forward pairs, and the network has none"
            )


class AnalyseLines(_Lines):
    """Pull rows and columns of every block towards zero, and say in the card which are.

    The analysis of TPrune (BSSL, Mao et al., 2021, doi 10.1145/3446640): group lasso on the rows
    and on the columns of every block, one a head of queries, keys and values. Reconstructed from
    the abstract and from what was said of its findings; a line is zero when nothing of it is left
    on the matrix's integer grid. It removes nothing.
    """

    do: Literal["analyse_lines"]

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.lines import LineStructure
        from pipeline.compression.regularizers import Regularizer

        structure = LineStructure(model.graph)
        return [Regularizer(model, structure, "group_lasso", self.strength, plan.prune_end)]

    def findings(self, model: "SequenceModel") -> dict[str, Any]:
        from pipeline.compression.lines import zero_lines

        return {"zero_lines": zero_lines(model)}


class TPrune(_Lines, Narrowing):
    """Sharpen the contrast between lines until pruning ends, then remove the weakest.

    The pruning run of TPrune (SHS, Mao et al., 2021, doi 10.1145/3446640): the squared sum of line
    norms over the sum of their squares, as DeepHoyer has it. Reconstructed: a line counts together
    with its partners, so that the direction that the analysis finds (columns of queries, keys,
    values and the first feed-forward matrix, rows of those that read them) is one and the same
    group; the pull is decoupled from Adam; the threshold is the one that removes the share asked
    for, over all matrices together, so that layers differ; heads keep equally many.
    """

    do: Literal["tprune"]
    sparsity: Sparsity
    """Share of the lines removed, of all matrices together."""

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.lines import LineCut

        return [LineCut(model, self.sparsity, self.strength, plan.prune_end)]
