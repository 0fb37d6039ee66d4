"""A matrix with zero blocks -> a few smaller dense products that the NPU computes faster.

The NPU multiplies by zeros as slowly as by anything else, so only smaller matrices save cycles.
Outputs are cut into runs, and each run reads the narrowest window of inputs that covers its
non-zero weights. The cut is the cheapest of all possible ones (dynamic programming over tiles of
outputs), so what does not pay is not split and a matrix without structure stays whole.
"""

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from pipeline.ethosu.npu import REFERENCE_NPU

COST = REFERENCE_NPU.product
OUTPUT_TILE = COST.output_tile
# Vela computes large matrices up to a fifth faster than this fit says: a cut has to promise more.
WORTH_CUTTING = 0.75
# TensorFlow Lite Micro joins at most this many tensors (kMaxInputNum of its CONCATENATION).
MAX_WINDOWS = 10


@dataclasses.dataclass(frozen=True)
class Window:
    """One smaller product: inputs ``[in_begin, in_end)`` to outputs ``[out_begin, out_end)``."""

    in_begin: int
    in_end: int
    out_begin: int
    out_end: int

    @property
    def inputs(self) -> slice:
        """The inputs as an index."""
        return slice(self.in_begin, self.in_end)

    @property
    def outputs(self) -> slice:
        """The outputs as an index."""
        return slice(self.out_begin, self.out_end)

    @property
    def cycles(self) -> float:
        """Estimated NPU cycles."""
        return COST.cycles(self.in_end - self.in_begin, self.out_end - self.out_begin)


def whole(weights: NDArray[np.int8]) -> list[Window]:
    """A matrix as it is: what lowering is compared with."""
    outputs, inputs = weights.shape
    return [Window(0, inputs, 0, outputs)]


def cheapest_windows(weights: NDArray[np.int8]) -> list[Window]:
    """Cut a matrix into windows.

    Args:
        weights: ``[outputs, inputs]``, zeros where masked.

    Returns:
        Windows in the order of their outputs, which together cover every output once and every
        non-zero weight.
    """
    outputs, inputs = weights.shape
    edges = [*range(0, outputs, OUTPUT_TILE), outputs]
    spans = [_span(weights[a:b]) for a, b in itertools.pairwise(edges)]
    tiles = len(spans)
    # best[count][end]: the cheapest way to cut the first `end` tiles into `count` windows.
    best: list[dict[int, tuple[float, list[Window]]]] = [{0: (0.0, [])}]
    for _ in range(MAX_WINDOWS):
        best.append({})
        for end in range(1, tiles + 1):
            low, high = inputs, 0
            for begin in range(end - 1, -1, -1):
                low, high = min(low, spans[begin][0]), max(high, spans[begin][1])
                if begin not in best[-2]:
                    continue
                window = Window(low, high, edges[begin], edges[end])
                cycles, windows = best[-2][begin]
                if end not in best[-1] or cycles + window.cycles < best[-1][end][0]:
                    best[-1][end] = (cycles + window.cycles, [*windows, window])
    cycles, windows = min((row[tiles] for row in best if tiles in row), key=lambda row: row[0])
    uncut = whole(weights)
    return windows if cycles < WORTH_CUTTING * uncut[0].cycles else uncut


def _span(rows: NDArray[np.int8]) -> tuple[int, int]:
    """Inputs that some of these outputs read; never empty, as no operator multiplies nothing."""
    used = np.flatnonzero(rows.any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
