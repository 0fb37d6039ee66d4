"""Low-rank pairs in the place of matrices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.method import Factoring, Method, Positive
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph
from pipeline.networks.rewrites import to_factor

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained


class LowRank(Factoring):
    """Let matrices multiply a basis of few values, made of what they read."""

    do: Literal["low_rank"]
    rank: Positive
    """Values of the basis."""
    matrices: tuple[str, ...] = ()
    """Names, each factored by itself; none: what recurrences multiply, and in a network without
    them every matrix that becomes smaller."""

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        if any(isinstance(method, LowRank) for method in before):
            raise InputError(
                "has low-rank pairs already; leave low_rank out, or take another parent"
            )
        if not any(method.resizes for method in before):
            to_factor(graph, self.rank, self.matrices)

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        from pipeline.compression.low_rank import with_low_rank

        return with_low_rank(trained, self.rank, features, self.matrices)
