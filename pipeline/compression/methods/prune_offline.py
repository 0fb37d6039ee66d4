"""Pruning without training: the baseline."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.method import Sparsity, Structured

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained


class PruneOffline(Structured):
    """Remove groups of small magnitude of a trained model's integers, with no training after it."""

    trains: ClassVar[bool] = False

    do: Literal["prune_offline"]
    sparsity: Sparsity
    """Share of the weights, blocks or units removed, those counted that the parent lacks."""

    @property
    def kind(self) -> str:
        return "offline"

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        from pipeline.compression.pruner import given_masks, prune

        model = trained.build()
        for matrix in model.matrices:
            matrix.kernel.assign(matrix.value())
        prune(model, self.structure_of(trained.graph), self.sparsity, given_masks(model))
        return dataclasses.replace(trained, arrays=model.get_arrays())
