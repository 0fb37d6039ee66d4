"""Low-rank pairs that learn their ranks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.compression.method import Factoring, Method, Plan, Positive
from pipeline.compression.methods.low_rank import LowRank
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained
    from pipeline.training.loop import Callback
    from pipeline.training.model import SequenceModel


class SvdTraining(Factoring):
    """Train pairs as singular vectors and values, and share a rank out between them.

    After SVD training (Yang et al., EDLCV 2020); what is reconstructed is said in
    `pipeline.compression.svd_training`. Put `low_rank` before it with more rank than is wanted:
    its principal components are the start instead of full rank. Without strength and orthogonality
    it shares the rank out by the energy of principal components alone, which is the baseline.
    """

    scheduled: ClassVar[bool] = True

    do: Literal["svd_training"]
    rank: Positive
    """Mean rank of the pairs in the end."""
    strength: Annotated[float, Field(ge=0, le=0.1)] = 5e-3
    """Share of itself by which a typical singular value shrinks or grows at a step."""
    orthogonality: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    """Share of their overlap that singular vectors lose at a step."""

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        made = [method.rank for method in before if isinstance(method, LowRank)]
        if not made:
            raise InputError("learns the rank of low-rank pairs; put low_rank before it")
        if self.rank >= made[-1]:
            raise InputError(
                f"rank = {self.rank} leaves nothing of the pairs' {made[-1]} to drop; choose a "
                "lower one, or more for low_rank"
            )

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        from pipeline.compression.svd_training import along_singular_vectors

        return along_singular_vectors(trained, features)

    def callbacks(self, model: "SequenceModel", plan: Plan) -> "list[Callback]":
        from pipeline.compression.svd_training import SingularValues

        return [SingularValues(model, self.rank, self.strength, self.orthogonality, plan.prune_end)]
