"""Less memory for training."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.compression.method import Method, Plan

if TYPE_CHECKING:
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class StashActivations(Method):
    """Keep what products read as small integers until the backward pass, or a part of it.

    After ephemeral sparsity (Barley & Froening, 2023); `pipeline.training.stash` says what is
    reconstructed. Nothing of it is left in the model. Without sparsity the gradients are the same.
    """

    do: Literal["stash_activations"]
    sparsity: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the blocks of activations that are forgotten."""

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.training.stash import Stash

        model.stash = Stash(self.sparsity)
        return []
