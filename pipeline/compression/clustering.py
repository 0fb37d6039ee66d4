"""Weight clustering: few distinct integers a matrix, learned together with pruning and int8.

Vela's weight codec stores a matrix of at most 32 distinct values as indices into a palette, and
entropy-codes those. Zero is always one of them, so pruned weights stay zero, and the extremes stay
where they are, so the matrix keeps its scale.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.keras import tf
from pipeline.quantization.fake import straight_through, weight_scale, weight_steps
from pipeline.quantization.scheme import WEIGHT_LIMIT
from pipeline.training.matrix import Matrix
from pipeline.training.model import SequenceModel

ITERATIONS = 20


def codebook(steps: NDArray[np.integer], clusters: int) -> NDArray[np.int64]:
    """Integers that stand for a matrix's weights with the least squared error (Lloyd, 1982).

    Args:
        steps: non-zero weights as multiples of the training step, any shape.
        clusters: how many distinct values the matrix may hold, zero among them.

    Returns:
        At most ``clusters`` sorted integers, zero and both extremes among them.
    """
    values, counts = np.unique(steps, return_counts=True)
    fixed = np.unique([0, values.min(initial=0), values.max(initial=0)])
    free = clusters - fixed.size
    if values.size <= free:
        return np.unique(np.concatenate([fixed, values]))
    centres = np.quantile(np.repeat(values, counts), (np.arange(free) + 0.5) / free)
    for _ in range(ITERATIONS):
        book = np.concatenate([fixed, centres])
        nearest = np.abs(values[:, None] - book[None, :]).argmin(axis=1) - fixed.size
        for k in range(free):
            own = nearest == k
            if own.any():
                centres[k] = np.average(values[own], weights=counts[own])
    return np.unique(np.concatenate([fixed, np.rint(centres).astype(np.int64)]))


class Clustering:
    """Refreshes each matrix's codebook while training goes on, then leaves it fixed.

    Args:
        model: its matrices' codebooks are set.
        clusters: distinct values a matrix.
        first_step: before it weights are free.
        end_step: from it on the codebook rests.
        every_steps: steps between refreshes.
    """

    def __init__(
        self, model: SequenceModel, clusters: int, first_step: int, end_step: int, every_steps: int
    ) -> None:
        self._model, self._clusters = model, clusters
        self._codebooks = {matrix.name: _shared(matrix) for matrix in model.matrices}
        self._first, self._end, self._every = first_step, end_step, every_steps

    def before_step(self, step: int) -> None:
        """Refresh the codebooks if it is time."""
        if step == self._end or (
            self._first <= step < self._end and (step - self._first) % self._every == 0
        ):
            for matrix in self._model.matrices:
                steps = matrix.steps().numpy().astype(np.int64)
                book = codebook(steps[steps != 0], self._clusters)
                everything = np.arange(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1)
                nearest = np.abs(everything[:, None] - book[None, :]).argmin(axis=1)
                self._codebooks[matrix.name].assign(book[nearest])


def _shared(matrix: Matrix) -> "tf.Variable":
    """What stands for each integer weight, ``[2 * WEIGHT_LIMIT + 1]``; at first itself."""
    book = matrix.keep("codebook", np.arange(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1))

    def shared(weights: "tf.Tensor") -> "tf.Tensor":
        scale = weight_scale(weights)
        index = tf.cast(weight_steps(weights, scale), tf.int32) + WEIGHT_LIMIT
        return straight_through(weights, tf.gather(book, index) * scale)

    matrix.restrict(shared)
    return book
