"""New weights in an old shape: the baseline of whatever found the shape."""

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.method import Method

if TYPE_CHECKING:
    from pipeline.networks.trained import Trained

SEED = 0


class Reinitialize(Method):
    """Forget the parent's weights; keep its graph, masks and grids, and train from new ones.

    "From scratch" of the literature on pruning (Liu et al., 2019), without a normalization to help:
    every matrix is drawn with the deviation that it had, so that values fill the grids.
    """

    do: Literal["reinitialize"]

    def start(self, trained: "Trained", features: NDArray[np.float32]) -> "Trained":
        random, arrays = np.random.default_rng(SEED), dict(trained.arrays)
        for matrix, shape in trained.graph.matrices().items():
            kept = arrays[f"{matrix}/kernel"][arrays[f"{matrix}/mask"] != 0]
            drawn = random.normal(scale=np.sqrt(np.mean(np.square(kept))), size=shape)
            arrays[f"{matrix}/kernel"] = drawn.astype(np.float32)
            arrays[f"{matrix}/bias"] = np.zeros(shape[1], np.float32)
        return dataclasses.replace(trained, arrays=arrays)
