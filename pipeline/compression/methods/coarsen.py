"""Uniformly fewer bits a weight."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.compression.method import Method, Plan

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class Coarsen(Method):
    """Put every matrix on one coarser grid: the baseline of `share_bits`."""

    scheduled: ClassVar[bool] = True

    do: Literal["coarsen"]
    bits: Annotated[int, Field(ge=2, le=6)]
    """Bits of a weight before Vela's codec: ``2 ** bits - 1`` levels, zero among them."""

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.coarse_grids import Coarsening

        return [Coarsening(model, self.bits, plan.prune_end, plan.every_steps)]
