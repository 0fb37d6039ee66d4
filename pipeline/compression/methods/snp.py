"""Channels of attention removed by what its scores lose."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.compression.method import Method, Narrowing
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class SNP(Narrowing):
    """Remove channels of queries and keys together, and of values, before training goes on.

    After SNP (structured neuron-level pruning, Shim et al., 2024, arXiv 2404.11630). Published are
    the pairs, the values that heads repeat, 64 unlabelled samples and one ratio a layer. The
    criterion itself is not; reconstructed: how far a pair's term reaches along the directions that
    hold 99 % of the scores, and how unlike a value channel is to those of other heads. The same
    share of every head and layer, in multiples of eight over the heads, scored in integers.
    """

    do: Literal["snp"]
    pairs: Share = 0.5
    """Share of the channels of queries and keys removed."""
    values: Share = 0.0
    """Share of the channels of values removed."""
    importance: Literal["attention", "magnitude", "random", "heads"] = "attention"
    """What says which channels go; the baselines: energy of all weights tied to one, chance, or
    those of whole heads, of least energy, of which `pairs` is the share."""

    @model_validator(mode="after")
    def _removes(self) -> "SNP":
        if not (self.pairs or self.values):
            raise ValueError("pairs = 0 and values = 0 remove nothing")
        if self.importance == "heads" and self.values:
            raise ValueError('values go with their heads: set values = 0 with importance = "heads"')
        return self

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        from pipeline.compression.attention_pruning import attentions

        found = attentions(graph)
        if self.importance == "heads" and any(
            not round(self.pairs * len(attention.pairs)) or len(attention.values) < 2
            for attention in found
        ):
            raise InputError(
                f"pairs = {self.pairs} of the heads is none, or heads cannot be removed; take "
                'attention = "full" with more heads, or a larger share'
            )
        for share, name in ((self.pairs, "pairs"), (self.values, "values")):
            if share and not any(getattr(attention, name) for attention in found):
                raise InputError(
                    f"{name} = {share}: the network has no attention between tokens whose {name} "
                    'can be removed; take attention = "full", or set it to 0'
                )

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        from pipeline.compression.attention_pruning import fewer_heads, narrower

        if self.importance == "heads":
            return fewer_heads(trained, self.pairs)
        return narrower(trained, features, self.pairs, self.values, self.importance)
