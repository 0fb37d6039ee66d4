"""As many bits as each group of outputs needs."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from pipeline.compression.method import Method, Plan

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class ShareBits(Method):
    """Share a number of bits out between groups of 8 outputs, by thresholds that are learned.

    After single-path bit sharing (Liu et al., 2021); `pipeline.compression.bit_sharing` says what
    is reconstructed.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["share_bits"]
    bits: Annotated[float, Field(ge=0.25, lt=7.0)]
    """Bits of a weight, on average, by the entropy of each matrix's integers; every weight of the
    network counts, zeros too."""

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.bit_sharing import ALL_BITS, BitSharing
        from pipeline.compression.schedule import RisingSparsity

        saved = 1 - self.bits / ALL_BITS
        return [BitSharing(model, RisingSparsity(saved, plan.prune_end, plan.every_steps))]
