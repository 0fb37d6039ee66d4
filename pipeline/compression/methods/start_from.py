"""Go on from a network that another run compressed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.method import Method
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained


class StartFrom(Method):
    """Take a compressed network with its pairs, masks and grids in the parent's place.

    It goes on learning behind the front end of this run, so that it follows a new front end or a
    new corpus in a fraction of the steps that made it.
    """

    do: Literal["start_from"]
    weights: Path
    """Its weights (.safetensors)."""

    @property
    def resizes(self) -> bool:
        return True

    @property
    def files(self) -> dict[str, Path]:
        return {"weights": self.weights}

    def check(self, graph: HopGraph, before: Sequence[Method]) -> None:
        from pipeline.networks.trained import Trained
        from pipeline.quantization import FLOAT

        if before:
            raise InputError(
                f"start_from undoes {before[-1].do}; let it come first, with the dense network as "
                "parent"
            )
        given = Trained.load(self.weights)
        if given.scheme == FLOAT:
            raise InputError(
                f"start_from.weights = {str(self.weights)!r} is a floating-point network; give a "
                "compressed one, or set train.initial_weights"
            )
        if given.graph.features.shape != graph.features.shape:
            raise InputError(
                f"start_from.weights = {str(self.weights)!r} reads {given.graph.features.shape} "
                f"features, the network of [model] {graph.features.shape}; make them equal"
            )

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        import dataclasses

        from pipeline.networks.trained import Trained

        return dataclasses.replace(Trained.load(self.weights), front_end=trained.front_end)
