"""Nested grids that groups of outputs share, with thresholds that are learned.

After single-path bit sharing (Liu et al., 2021). A group's weights are put on the coarsest grid; if
what that leaves of them is above a threshold, the next finer grid is opened for the group, and so
on. The first gate decides whether the group has any bits. All grids come from the same weights
(steps of 32, 16, ... 1 times the int8 grid's, so coarse values are finer ones too): nothing is
trained twice.

Reconstructed here: the grids are even and hold zero; the size counted is the entropy of each
matrix's integers, which is what Vela's codec nears, and not the number of bits; and it is a
constraint, met at every update, where the paper adds its logarithm to the loss. Thresholds move by
the loss that closing a gate costs a bit, with the paper's gradient, that of a sigmoid around
the threshold; then all are shifted alike until the size is met.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.coarse_grids import on_steps
from pipeline.compression.schedule import RisingSparsity
from pipeline.keras import tf
from pipeline.quantization.scheme import WEIGHT_LIMIT, half_away, integer_steps
from pipeline.training.matrix import Matrix
from pipeline.training.model import SequenceModel

# Steps of the grids over the int8 grid's, coarsest first.
MULTIPLES = (32, 16, 8, 4, 2, 1)
# Outputs that the NPU makes at once share a grid.
GROUP = 8
# Bits of a weight before anything is saved: more than the entropy of any int8 matrix here.
ALL_BITS = 7.0
RATE = 0.05
SMOOTHING = 0.8
# Width of the sigmoid around a threshold, in natural logarithms.
WIDTH = 0.25
BISECTIONS = 40
LARGEST_SHIFT = 20.0
SMALLEST = 1e-9

Groups = NDArray[np.int64]


class BitSharing:
    """Opens and closes grids along a schedule of bits; a `pipeline.training.loop.MaskLearner`.

    Args:
        model: its matrices are restricted.
        schedule: share of `ALL_BITS` that is saved when; after its end the grids rest.
    """

    def __init__(self, model: SequenceModel, schedule: RisingSparsity) -> None:
        self._schedule = schedule
        self._shared = [_Shared(matrix) for matrix in model.matrices]
        count = (len(self._shared), len(MULTIPLES))
        self._thresholds = tf.Variable(np.zeros(count), dtype="float64")
        self._costs = tf.Variable(np.zeros(count), dtype="float64")

    @property
    def state(self) -> list["tf.Variable"]:
        """What learning needs to go on after a kill."""
        return [self._thresholds, self._costs, *(shared.gradient for shared in self._shared)]

    def before_step(self, step: int) -> None:
        """Update thresholds and grids if the schedule says so."""
        saved = self._schedule.due(step)
        if saved is None:
            return
        views = [shared.view() for shared in self._shared]
        if step > 0:
            self._learn(views)
        for shared, open_grids in zip(self._shared, self._meet(views, ALL_BITS * (1 - saved))):
            shared.choose(open_grids)

    def after_step(self, step: int, mask_gradients: dict[str, NDArray[np.float32]]) -> None:
        """Collect the loss gradient of every weight."""
        if step < self._schedule.end_step:
            for shared in self._shared:
                shared.collect(mask_gradients[shared.matrix.name])

    def _learn(self, views: list["_View"]) -> None:
        """Lower the thresholds where a closed gate costs more loss a bit than others'."""
        thresholds, costs = self._thresholds.numpy(), self._costs.numpy()
        for k, (shared, view) in enumerate(zip(self._shared, views, strict=True)):
            reached = np.arange(len(MULTIPLES)) <= view.open(thresholds[k])[:, None]
            near = reached * _sigmoid_slope((view.left - thresholds[k]) / WIDTH)
            losses, bits = view.cost(shared.gradient.numpy())
            found = (near * losses).sum(axis=0) / np.maximum((near * bits).sum(axis=0), 1.0)
            costs[k] = SMOOTHING * costs[k] + (1 - SMOOTHING) * found
            shared.gradient.assign(tf.zeros_like(shared.gradient))
        spread = float(costs.std())
        if spread > 0:
            thresholds -= RATE * (costs - costs.mean()) / spread
        self._thresholds.assign(thresholds)
        self._costs.assign(costs)

    def _meet(self, views: list["_View"], bits: float) -> list[Groups]:
        """Shift all thresholds alike until no more bits a weight are used; how many are open."""
        thresholds = self._thresholds.numpy()
        weights = sum(view.weights for view in views)
        low, high = -LARGEST_SHIFT, LARGEST_SHIFT
        for _ in range(BISECTIONS):
            shift = (low + high) / 2
            chosen = [view.open(row + shift) for view, row in zip(views, thresholds)]
            used = sum(view.bits(number) for view, number in zip(views, chosen))
            low, high = (shift, high) if used > bits * weights else (low, shift)
        self._thresholds.assign(thresholds + high)
        return [view.open(row + high) for view, row in zip(views, thresholds)]


class _Shared:
    """The nested grids of one matrix; the int8 grid of the start is the finest, and is held."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        _, finest = integer_steps((matrix.kernel * matrix.mask).numpy())
        outputs = matrix.shape[1]
        self._group = np.arange(outputs) // GROUP
        self._finest = finest
        self._step = matrix.keep("shared_step", np.full((1, outputs), finest))
        self.gradient = tf.Variable(tf.zeros_like(matrix.kernel), trainable=False)
        matrix.restrict(self._on_grids)

    def _on_grids(self, weights: "tf.Tensor") -> "tf.Tensor":
        finest = tf.constant(self._finest, tf.float32)
        limit = tf.floor(WEIGHT_LIMIT * finest / tf.maximum(self._step, finest))
        return on_steps(weights, self._step, limit)

    def choose(self, open_grids: Groups) -> None:
        """Give every group the finest of its open grids, or none."""
        steps = np.array([0, *MULTIPLES])[open_grids] * self._finest
        self._step.assign(steps[self._group][None].astype(np.float32))

    def collect(self, mask_gradient: NDArray[np.float32]) -> None:
        """Add the weights' loss gradients; a mask's is its weight times that of the product."""
        kernel = self.matrix.kernel.numpy()
        known = np.abs(kernel) > SMALLEST
        self.gradient.assign_add(np.where(known, mask_gradient / np.where(known, kernel, 1), 0))

    def view(self) -> "_View":
        """All grids of the weights as they are now."""
        weights = (self.matrix.kernel * self.matrix.mask).numpy() / np.float32(self._finest)
        grids = [np.zeros_like(weights)]
        for multiple in MULTIPLES:
            limit = WEIGHT_LIMIT // multiple
            grids.append(np.clip(half_away(weights / multiple), -limit, limit) * multiple)
        return _View(weights, np.stack(grids), self._group)


@dataclasses.dataclass
class _View:
    """A matrix on every grid, in steps of the finest.

    Attributes:
        exact: ``[inputs, outputs]``.
        grids: ``[1 + grids, inputs, outputs]``, zeros first, then coarsest to finest.
        group: of each output.
    """

    exact: NDArray[np.float32]
    grids: NDArray[np.float32]
    group: Groups

    def __post_init__(self) -> None:
        self.weights = self.exact.size
        self._sizes = np.bincount(self.group) * self.exact.shape[0]
        errors = self._by_group(np.square(self.exact - self.grids[:-1]))
        # Logarithm of the deviation that each grid but the finest leaves: [groups, grids].
        self.left = 0.5 * np.log(np.maximum(errors / self._sizes, SMALLEST)).T
        self._counts = self._histograms()
        self._alone = np.array([_entropy(counts.sum(axis=0)) for counts in self._counts])

    def _by_group(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        sums = values.sum(axis=-2, dtype=np.float64)
        return np.stack([np.bincount(self.group, row) for row in sums])

    def _histograms(self) -> NDArray[np.int64]:
        """How often each integer occurs: ``[1 + grids, groups, integers]``."""
        width = 2 * WEIGHT_LIMIT + 1
        groups = self._sizes.size
        index = self.grids.astype(np.int64) + WEIGHT_LIMIT + self.group * width
        counts = [np.bincount(grid.ravel(), minlength=groups * width) for grid in index]
        return np.stack(counts).reshape(len(self.grids), groups, width)

    def open(self, thresholds: NDArray[np.float64]) -> Groups:
        """How many grids of each group are open in a row; something is left of every matrix."""
        open_grids: Groups = np.cumprod(self.left > thresholds, axis=1).sum(axis=1)
        if not open_grids.any():
            open_grids[self.left[:, 0].argmax()] = 1
        return open_grids

    def bits(self, open_grids: Groups) -> float:
        """Entropy of the whole matrix's integers."""
        counts = self._counts[open_grids, np.arange(open_grids.size)].sum(axis=0)
        return self.weights * _entropy(counts)

    def cost(
        self, gradient: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Loss gained by closing each gate, and bits saved: ``[groups, grids]`` each."""
        losses = -self._by_group(gradient * np.diff(self.grids, axis=0)).T
        return losses, np.maximum(np.diff(self._alone), 0) * self._sizes[:, None]


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def _sigmoid_slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
    share = 1 / (1 + np.exp(-np.clip(x, -50, 50)))
    slope: NDArray[np.float64] = share * (1 - share)
    return slope
