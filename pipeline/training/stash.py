"""What is kept of activations for the backward pass, smaller than the activations.

After ephemeral sparsity (Barley & Froening, 2023): the forward pass is exact, and what it stores
for the gradient of the weights is pruned in blocks, anew at every step. Reconstructed here: blocks
of 8 by 8 over hops and channels, of which those of the largest sums of magnitudes are kept, packed
beside their numbers; gradients of activations are exact.

Activations of a network trained in integers lie on grids of 8 or 16 bits, so they are stored as
those integers, for the same gradients. What else of a graph holds activations until its backward
pass is not touched: `pipeline.training.peak_memory` measures what all of it takes.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from pipeline.keras import tf
from pipeline.quantization.scheme import Grid

BLOCK = 8

Product = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]


@dataclasses.dataclass(frozen=True)
class Stash:
    """How activations are stored.

    Attributes:
        sparsity: share of the blocks that are dropped.
    """

    sparsity: float = 0.0

    def product(
        self, product: Product, x: "tf.Tensor", w: "tf.Tensor", grid: Grid | None
    ) -> "tf.Tensor":
        """A product that is linear in both factors, of which `x` is stored small.

        Args:
            product: makes it of `x` and `w`.
            x: on `grid`, channels last.
            w: float32 weights.
            grid: of `x`; None: it is stored as it is.
        """

        @tf.custom_gradient
        def stashed(x: "tf.Tensor", w: "tf.Tensor") -> tuple["tf.Tensor", object]:
            kept = self.keep(x, grid)

            def gradient(upstream: "tf.Tensor") -> list["tf.Tensor"]:
                again = kept()
                again.set_shape(x.shape)
                with tf.GradientTape() as tape:
                    tape.watch([again, w])
                    y = product(again, w)
                found: list[tf.Tensor] = tape.gradient(y, [again, w], upstream)
                return found

            return product(x, w), gradient

        return stashed(x, w)

    def keep(self, x: "tf.Tensor", grid: Grid | None) -> Callable[[], "tf.Tensor"]:
        """Store `x` small; what is returned makes of it what a product's gradient shall see."""
        kept, shape = self._kept(stored(x, grid)), tf.shape(x)
        return lambda: restored(self._restored(kept, shape), grid)

    def _kept(self, values: "tf.Tensor") -> tuple["tf.Tensor", ...]:
        if self.sparsity == 0:
            return (values,)
        channels = values.shape[-1]
        rows = tf.reshape(values, [-1, channels])
        rows = tf.pad(rows, [[0, -tf.shape(rows)[0] % BLOCK], [0, -channels % BLOCK]])
        across = rows.shape[-1] // BLOCK
        blocks = tf.reshape(rows, [-1, BLOCK, across, BLOCK])
        blocks = tf.reshape(tf.transpose(blocks, [0, 2, 1, 3]), [-1, BLOCK * BLOCK])
        sums = tf.reduce_sum(tf.abs(tf.cast(blocks, tf.float32)), axis=-1)
        count = tf.cast(tf.shape(sums)[0], tf.float32)
        largest = tf.cast(tf.math.ceil((1 - self.sparsity) * count), tf.int32)
        numbers = tf.math.top_k(sums, largest, sorted=False).indices
        return tf.gather(blocks, numbers), numbers

    def _restored(self, kept: tuple["tf.Tensor", ...], shape: "tf.Tensor") -> "tf.Tensor":
        if len(kept) == 1:
            return kept[0]
        blocks, numbers = kept
        channels = shape[-1]
        count = tf.reduce_prod(shape[:-1])
        down, across = (-(-size // BLOCK) for size in (count, channels))
        whole = tf.scatter_nd(numbers[:, None], blocks, [down * across, BLOCK * BLOCK])
        rows = tf.transpose(tf.reshape(whole, [down, across, BLOCK, BLOCK]), [0, 2, 1, 3])
        rows = tf.reshape(rows, [down * BLOCK, across * BLOCK])[:count, :channels]
        return tf.reshape(rows, shape)


def stored(x: "tf.Tensor", grid: Grid | None) -> "tf.Tensor":
    """Whole steps, without the zero point: zeros are what pruning leaves."""
    if grid is None:
        return x
    return tf.cast(x * np.float32(1 / grid.scale), narrowest(grid))


def restored(steps: "tf.Tensor", grid: Grid | None) -> "tf.Tensor":
    """What `stored` has stored."""
    return steps if grid is None else tf.cast(steps, tf.float32) * np.float32(grid.scale)


def narrowest(grid: Grid | None) -> str:
    """Type of the fewest bits that holds every step; without a grid that of activations."""
    if grid is None:
        return "float32"
    info = np.iinfo(grid.dtype)
    ends = [int(end) - grid.zero_point for end in (info.min, info.max)]
    kinds = ("int8", "uint8", "int16", "int32")
    return next(k for k in kinds if np.iinfo(k).min <= ends[0] and ends[1] <= np.iinfo(k).max)
