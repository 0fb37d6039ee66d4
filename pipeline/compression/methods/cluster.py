"""Few distinct values a matrix."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.compression.method import Method, Plan

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class Cluster(Method):
    """Learn a codebook of every matrix's integers, after pruning.

    The shared weights of Deep Compression (Han et al., 2016). Different here: they are integers of
    the int8 grid, the codebook is found again while training goes on, and Vela's codec is in the
    place of Huffman's.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["cluster"]
    clusters: Annotated[int, Field(ge=4, le=127)]
    """Distinct values a matrix may hold, zero among them."""

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.clustering import Clustering

        return [
            Clustering(model, self.clusters, plan.prune_end, plan.cluster_end, plan.every_steps)
        ]

    def last_change(self, plan: Plan) -> int:
        return plan.cluster_end + 1
