"""Thresholds learned with the weights: sparsity is shared out by what removal costs the loss.

After TinyLSTMs (Fedorov et al., 2020): a family of groups (a matrix, a layer's units) has one
threshold, groups whose norm is below it are masked, and the threshold is learned through the step
function with a straight-through gradient against a penalty on the size. There the penalty's
weight has to be searched for a wanted size. Here the size is a constraint: every update moves the
thresholds down the loss relative to each other, then shifts all of them alike to meet the target,
which makes the penalty's weight the Lagrange multiplier of that constraint.

A threshold is held as the share of its family that lies below it, through a logistic function, so
families of very different norms move at the same pace and none can be emptied by one step.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.criterion import check_not_empty, groups_to_keep
from pipeline.compression.pruner import apply_choice, energies_of, given_masks
from pipeline.compression.schedule import RisingSparsity
from pipeline.compression.structures import Structure
from pipeline.keras import tf
from pipeline.training.model import SequenceModel

# Groups whose rank is within this share of the threshold's stand for those it would gain or lose.
WINDOW = 0.05
RATE = 0.1
SMOOTHING = 0.8
BISECTIONS = 60
LARGEST_LOGIT = 8.0
REAL = "float64"


class LearnedThresholds:
    """Learns one threshold a family while sparsity rises along a schedule.

    Args:
        model: its matrices' masks are set.
        structure: what is removed together.
        schedule: how much is removed when; after its end the masks rest.
        sparsity: what the schedule ends at.
    """

    def __init__(
        self, model: SequenceModel, structure: Structure, schedule: RisingSparsity, sparsity: float
    ) -> None:
        self._model, self._structure, self._schedule = model, structure, schedule
        self._given = given_masks(model)
        # Magnitude's own allocation is where learning starts.
        first = groups_to_keep(energies_of(model, structure, self._given), sparsity)
        self._families = list(first)
        self._logits = tf.Variable(
            [_logit(1.0 - float(first[n].mean())) for n in first], dtype=REAL
        )
        self._costs = tf.Variable(np.zeros(len(first)), dtype=REAL)
        self._gradients = {n: tf.Variable(np.zeros_like(mask)) for n, mask in self._given.items()}

    @property
    def state(self) -> list["tf.Variable"]:
        """What learning needs to go on after a kill."""
        return [self._logits, self._costs, *self._gradients.values()]

    def before_step(self, step: int) -> None:
        """Update thresholds and masks if the schedule says so."""
        sparsity = self._schedule.due(step)
        if sparsity is None:
            return
        energies = energies_of(self._model, self._structure, self._given)
        ranks = {name: _ranks(energies[name]) for name in self._families}
        if step > 0:
            self._learn(ranks)
        apply_choice(self._model, self._structure, self._meet(ranks, sparsity), self._given)

    def after_step(self, step: int, mask_gradients: dict[str, NDArray[np.float32]]) -> None:
        """Collect the loss gradient of every mask entry, those of removed weights included."""
        if step < self._schedule.end_step:
            for name, gradient in mask_gradients.items():
                self._gradients[name].assign_add(gradient * self._given[name])

    def _learn(self, ranks: dict[str, NDArray[np.int64]]) -> None:
        """Lower thresholds where the next weight to go costs more than elsewhere."""
        gains = self._structure.sums({n: g.numpy() for n, g in self._gradients.items()})
        sizes = self._structure.sums(self._given)
        logits, costs = self._logits.numpy(), self._costs.numpy()
        for k, (name, rank) in enumerate(ranks.items()):
            near = np.abs(rank - _share(logits[k]) * rank.size) <= max(1.0, WINDOW * rank.size)
            # Removing a group changes the loss by minus its mask's gradient.
            cost = -float(gains[name][near].sum()) / max(1.0, float(sizes[name][near].sum()))
            costs[k] = SMOOTHING * costs[k] + (1 - SMOOTHING) * cost
        spread = float(costs.std())
        if spread > 0:
            logits -= RATE * (costs - costs.mean()) / spread
        self._logits.assign(logits)
        self._costs.assign(costs)
        for gradient in self._gradients.values():
            gradient.assign(tf.zeros_like(gradient))

    def _meet(
        self, ranks: dict[str, NDArray[np.int64]], sparsity: float
    ) -> dict[str, NDArray[np.bool_]]:
        """Shift all thresholds alike until the wanted share of all groups lies below them."""
        logits = self._logits.numpy()
        sizes = np.array([rank.size for rank in ranks.values()])
        low, high = -4 * LARGEST_LOGIT, 4 * LARGEST_LOGIT
        for _ in range(BISECTIONS):
            shift = (low + high) / 2
            removed = float((_share(logits + shift) * sizes).sum())
            low, high = (shift, high) if removed < sparsity * sizes.sum() else (low, shift)
        self._logits.assign(logits + high)
        keep = {}
        for (name, rank), share in zip(ranks.items(), _share(logits + high), strict=True):
            keep[name] = rank >= round(float(share) * rank.size)
            check_not_empty(name, keep[name], sparsity)
        return keep


def _ranks(energies: NDArray[np.float64]) -> NDArray[np.int64]:
    ranks = np.empty(energies.size, np.int64)
    ranks[np.argsort(energies, axis=None, kind="stable")] = np.arange(energies.size)
    return ranks.reshape(energies.shape)


def _share(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def _logit(share: float) -> float:
    smallest = float(_share(np.array(-LARGEST_LOGIT)))
    clipped = min(max(share, smallest), 1.0 - smallest)
    return float(np.log(clipped / (1.0 - clipped)))
