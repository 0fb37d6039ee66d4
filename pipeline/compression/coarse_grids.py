"""Coarser grids for weights: fewer distinct integers, hence fewer bits in Vela's weight codec.

The NPU computes in 8 bits whatever the integers are, so what a coarse grid buys is flash, and the
time to read it. Steps are powers of two times the int8 grid's own, and zero is always a level.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from pipeline.keras import tf
from pipeline.quantization.fake import straight_through, weight_steps
from pipeline.quantization.scheme import half_away, power_of_two_above
from pipeline.training.matrix import Matrix
from pipeline.training.model import SequenceModel


def on_steps(weights: "tf.Tensor", step: "tf.Tensor", limit: "tf.Tensor | int") -> "tf.Tensor":
    """Round weights to multiples of a step, saturating, straight-through gradient.

    Args:
        weights: ``[inputs, outputs]``.
        step, limit: step and largest multiple, for all or for each output; a step of 0 removes.
    """
    multiples = weight_steps(weights, tf.where(step > 0, step, 1.0))
    return straight_through(weights, tf.clip_by_value(multiples, -limit, limit) * step)


def best_step(weights: NDArray[np.float32], limit: int) -> float:
    """The power of two that loses least, by squared error, with `limit` multiples on either side.

    Trained weights have long tails: a grid that reaches to the largest leaves most of them zero.
    """
    largest = float(np.abs(weights).max(initial=0.0))
    if largest == 0.0:
        return 1.0
    reaching = power_of_two_above(largest / limit)
    finer = [reaching / 2**k for k in range(8)]
    return min(finer, key=lambda step: _squared_error(weights, step, limit))


def _squared_error(weights: NDArray[np.float32], step: float, limit: int) -> float:
    rounded = np.clip(half_away(weights / step), -limit, limit) * step
    return float(np.square(weights - rounded).sum())


class Coarsening:
    """One coarse grid a matrix, its range chosen by squared error until training should rest.

    Args:
        model: its matrices are restricted.
        bits: of a weight: ``2 ** bits - 1`` levels.
        end_step: from it on the grids rest.
        every_steps: steps between choices.
    """

    def __init__(self, model: SequenceModel, bits: int, end_step: int, every_steps: int) -> None:
        self._limit = 2 ** (bits - 1) - 1
        self._end, self._every = end_step, every_steps
        self._steps = {}
        for matrix in model.matrices:
            self._steps[matrix] = step = matrix.keep("coarse_step", self._best(matrix))
            matrix.restrict(functools.partial(on_steps, step=step, limit=self._limit))

    def before_step(self, step: int) -> None:
        """Choose again if it is time."""
        if step == self._end or (step < self._end and step % self._every == 0):
            for matrix, chosen in self._steps.items():
                chosen.assign(self._best(matrix))

    def _best(self, matrix: Matrix) -> float:
        return best_step((matrix.kernel * matrix.mask).numpy(), self._limit)
