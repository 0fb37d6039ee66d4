"""Where the weights are that pruning kept."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.reporting.embed import png

PATCH = 8
"""Weights along each side of the patch that becomes one pixel."""
_COLOR = (100, 110, 235)


@dataclasses.dataclass(frozen=True)
class SparsityMap:
    """Picture of one matrix; opacity is the share kept in a patch, up to ``full_share``."""

    name: str
    inputs: int
    outputs: int
    kept_share: float
    full_share: float
    image: str


def sparsity_map(name: str, kept: NDArray[np.bool_]) -> SparsityMap:
    """Picture ``kept`` ``[inputs, outputs]``, inputs downwards."""
    density = _patch_means(kept.astype(np.float64))
    # A few dense patches must not fade all the others.
    full_share = max(float(np.quantile(density, 0.999)), 1e-9)
    opacity = np.rint(np.clip(density / full_share, 0, 1) * 255).astype(np.uint8)
    color = np.broadcast_to(np.array(_COLOR, np.uint8), (*opacity.shape, 3))
    image = Image.fromarray(np.dstack([color, opacity]), "RGBA")
    inputs, outputs = kept.shape
    return SparsityMap(name, inputs, outputs, float(kept.mean()), full_share, png(image))


def _patch_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each `PATCH` x `PATCH` patch; those at the lower and right edge may be smaller."""
    starts = [np.arange(0, length, PATCH) for length in values.shape]
    sums = np.add.reduceat(np.add.reduceat(values, starts[0], axis=0), starts[1], axis=1)
    lengths = [np.diff(np.append(s, n)) for s, n in zip(starts, values.shape, strict=True)]
    return np.asarray(sums / np.outer(*lengths))
