"""Blocks of weights that share one magnitude, reached by ADMM.

After micro-structured weight unification (Lin et al., 2021). In a unified block all weights have
the same magnitude and signs of their own; magnitude 0 is pruning. Known from the abstract and a
public summary; reconstructed here are the projections, the choice of blocks and the schedule.

ADMM trains ``loss + rho / 2 ||W - Z||^2 + <dual, W - Z>``, where Z is the nearest network with
unified blocks and the dual grows by ``rho (W - Z)``. Both pulls are decoupled from Adam's gradient,
as weight decay is in AdamW. rho rises until training puts W on Z outright; from then on blocks and
signs rest, and the magnitude of every block is trained.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.keras import tf
from pipeline.quantization.fake import straight_through
from pipeline.training.matrix import Matrix
from pipeline.training.model import SequenceModel

# rho as the share of its way to Z that a weight goes at a step, and how often it rises. Z and dual
# follow twice a rho: more often, and the dual would grow from what weights had no time to do.
FIRST_RHO, LAST_RHO = 1e-4, 1e-1
RISES, UPDATES = 7, 14
SMALLEST = 1e-12


class Unification:
    """Pulls weights towards unified blocks, then holds them there.

    Args:
        model: its matrices are restricted.
        unified: share of each matrix's blocks to unify: those of least squared error.
        zeros: share of each matrix's blocks to remove first: those of least energy.
        block: neighbouring outputs of one input, the order in which Vela's codec walks.
        powers_of_two: whether magnitudes are, which leaves the codec few distinct integers.
        end_step: from it on blocks and signs rest.
    """

    def __init__(
        self,
        model: SequenceModel,
        unified: float,
        zeros: float,
        block: int,
        powers_of_two: bool,
        end_step: int,
    ) -> None:
        self._end, self._every = end_step, max(1, end_step // UPDATES)
        self._parts = [
            _Blocks(matrix, unified, zeros, block, powers_of_two) for matrix in model.matrices
        ]

    def before_step(self, step: int) -> None:
        """Pull the weights, or put them where they stay."""
        if step < self._end:
            risen = (step * RISES // self._end) / (RISES - 1)
            rho = FIRST_RHO * (LAST_RHO / FIRST_RHO) ** risen
            for part in self._parts:
                part.pull(rho, update=step % self._every == 0)
        elif step == self._end:
            for part in self._parts:
                part.hold()


class _Blocks:
    """The blocks of one matrix."""

    def __init__(
        self, matrix: Matrix, unified: float, zeros: float, block: int, powers_of_two: bool
    ) -> None:
        self._matrix, self._unified, self._zeros = matrix, unified, zeros
        self._block, self._powers_of_two = block, powers_of_two
        nothing = tf.zeros_like(matrix.kernel)
        self._target = matrix.keep("unified_target", matrix.kernel)
        self._dual = matrix.keep("unified_dual", nothing)
        # Of weights in held blocks; 0 in all others.
        self._signs = matrix.keep("unified_signs", nothing)
        self._free = matrix.keep("unified_free", tf.ones_like(nothing))
        matrix.restrict(self._on_magnitudes)

    def pull(self, rho: float, update: bool) -> None:
        """Move the weights towards the target; ADMM's other two updates come first."""
        kernel = self._matrix.kernel
        if update:
            self._dual.assign_add(rho * (kernel - self._target))
            self._target.assign(self._nearest(kernel + self._dual / rho)[0])
        kernel.assign_sub(rho * (kernel - self._target) + self._dual)

    def hold(self) -> None:
        """Put the weights on the nearest unified ones, and keep blocks and signs."""
        nearest, signs, free = self._nearest(self._matrix.kernel)
        self._matrix.kernel.assign(nearest)
        self._signs.assign(signs)
        self._free.assign(free)

    def _nearest(self, weights: "tf.Tensor") -> tuple["tf.Tensor", ...]:
        """Nearest weights with blocks unified and removed; signs where unified; 1 where free."""
        blocks = self._in_blocks(weights * self._matrix.mask)
        signs = tf.sign(blocks)
        together = signs * self._magnitudes(blocks, signs)
        removed = _least(tf.reduce_sum(tf.square(blocks), axis=-1), self._zeros)
        errors = tf.reduce_sum(tf.square(blocks - together), axis=-1)
        unified = _least(tf.where(removed, np.inf, errors), self._unified)
        held = signs * tf.cast(unified, tf.float32)[..., None]
        free = tf.ones_like(blocks) * tf.cast(~(unified | removed), tf.float32)[..., None]
        nearest = tf.where(held != 0, together, blocks * free)
        return tuple(self._as_matrix(part) for part in (nearest, held, free))

    def _on_magnitudes(self, weights: "tf.Tensor") -> "tf.Tensor":
        """One magnitude, the mean of its weights', in every held block; others as they are."""
        signs = self._in_blocks(self._signs * self._matrix.mask)
        magnitudes = tf.nn.relu(self._magnitudes(self._in_blocks(weights), signs))
        return weights * self._free + self._as_matrix(signs * magnitudes)

    def _magnitudes(self, blocks: "tf.Tensor", signs: "tf.Tensor") -> "tf.Tensor":
        """Of least squared error for blocks of given signs, ``[inputs, blocks, 1]``."""
        count = tf.reduce_sum(tf.abs(signs), axis=-1, keepdims=True)
        mean = tf.reduce_sum(blocks * signs, axis=-1, keepdims=True) / tf.maximum(count, 1.0)
        return straight_through(mean, _nearest_power_of_two(mean)) if self._powers_of_two else mean

    def _in_blocks(self, values: "tf.Tensor") -> "tf.Tensor":
        """``[inputs, blocks, block]``, the last block of a row filled up with zeros."""
        inputs, outputs = self._matrix.shape
        padded = tf.pad(values, [[0, 0], [0, -outputs % self._block]])
        return tf.reshape(padded, [inputs, -1, self._block])

    def _as_matrix(self, blocks: "tf.Tensor") -> "tf.Tensor":
        inputs, outputs = self._matrix.shape
        return tf.reshape(blocks, [inputs, -1])[:, :outputs]


def _nearest_power_of_two(values: "tf.Tensor") -> "tf.Tensor":
    """Of positive values; what is as good as zero, or below, becomes zero."""
    exponent = tf.floor(tf.math.log(tf.maximum(values, SMALLEST) / 1.5) / np.log(2.0)) + 1
    return tf.where(values > SMALLEST, tf.pow(2.0, exponent), 0.0)


def _least(scores: "tf.Tensor", share: float) -> NDArray[np.bool_]:
    """Where the given share of all scores lies that is least."""
    flat = scores.numpy().ravel()
    chosen = np.zeros(flat.size, bool)
    chosen[np.argsort(flat, kind="stable")[: round(share * flat.size)]] = True
    return chosen.reshape(scores.shape)
