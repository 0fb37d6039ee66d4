"""One magnitude for a block of weights."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.compression.method import Method, Plan

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Unify(Method):
    """Let the weights of a block have one magnitude and their own signs.

    After micro-structured weight unification (Lin et al., 2021); `pipeline.compression.unification`
    says what is reconstructed.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["unify"]
    unified: Share
    """Share of a matrix's blocks that have one magnitude."""
    zeros: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of a matrix's blocks that are removed."""
    block: Annotated[int, Field(ge=2, le=64)] = 8
    """Neighbouring outputs of one input that form a block."""
    magnitudes: Literal["powers_of_two", "any"] = "powers_of_two"
    """What magnitudes may be; powers of two leave Vela's codec few distinct integers."""

    @model_validator(mode="after")
    def _shares_fit(self) -> "Unify":
        if not 0 < self.unified + self.zeros <= 1:
            raise ValueError("unified and zeros are shares of the same blocks: above 0, at most 1")
        return self

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.unification import Unification

        return [
            Unification(
                model,
                self.unified,
                self.zeros,
                self.block,
                self.magnitudes == "powers_of_two",
                plan.prune_end,
            )
        ]
