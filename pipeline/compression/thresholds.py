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
from pipeline.compression.structures import Energies, Structure
from pipeline.keras import tf
from pipeline.models.masknet import MaskNet

# Groups whose rank is within this share of the threshold's stand for those it would gain or lose.
WINDOW = 0.05
RATE = 0.1
SMOOTHING = 0.8
BISECTIONS = 60
LARGEST_LOGIT = 8.0


class LearnedThresholds:
    """Learns one threshold a family while sparsity rises along TF-MOT's cubic schedule.

    Args:
        model: its matrices' masks are set.
        structure: what is removed together.
        sparsity: final share of groups removed.
        end_step: step at which it is reached; afterwards the masks rest.
        every_steps: steps between updates.
    """

    def __init__(
        self,
        model: MaskNet,
        structure: Structure,
        sparsity: float,
        end_step: int,
        every_steps: int,
    ) -> None:
        from tensorflow_model_optimization.sparsity.keras import PolynomialDecay

        self._model, self._structure = model, structure
        self._sparsity, self._end_step = sparsity, end_step
        self._schedule = PolynomialDecay(0.0, sparsity, 0, end_step, frequency=every_steps)
        self._given = {m.name: m.mask.numpy() for m in model.matrices}
        # Magnitude's own allocation is where learning starts.
        first = groups_to_keep(self._energies(), sparsity)
        self._logits = {name: _logit(1.0 - float(keep.mean())) for name, keep in first.items()}
        self._costs = dict.fromkeys(first, 0.0)
        self._gradients = {name: np.zeros(mask.shape) for name, mask in self._given.items()}

    def before_step(self, step: int) -> None:
        """Update thresholds and masks if the schedule says so."""
        due, sparsity = self._schedule(tf.constant(step, tf.int64))
        if not (bool(due) or step == self._end_step):
            return
        ranks = {name: _ranks(energies) for name, energies in self._energies().items()}
        if step > 0:
            self._learn(ranks)
        masks = self._structure.masks(self._meet(ranks, float(sparsity)))
        for matrix in self._model.matrices:
            matrix.mask.assign(masks[matrix.name] * self._given[matrix.name])

    def after_step(self, step: int, mask_gradients: dict[str, NDArray[np.float32]]) -> None:
        """Collect the loss gradient of every mask entry, those of removed weights included."""
        if step < self._end_step:
            for name, gradient in mask_gradients.items():
                self._gradients[name] += gradient * self._given[name]

    def _energies(self) -> Energies:
        return self._structure.sums(
            {
                m.name: np.square(m.kernel.numpy() * self._given[m.name])
                for m in self._model.matrices
            }
        )

    def _learn(self, ranks: dict[str, NDArray[np.int64]]) -> None:
        """Lower thresholds where the next weight to go costs more than elsewhere."""
        gains = self._structure.sums(self._gradients)
        sizes = self._structure.sums(self._given)
        for name, rank in ranks.items():
            threshold = _share(self._logits[name]) * rank.size
            near = np.abs(rank - threshold) <= max(1.0, WINDOW * rank.size)
            # Removing a group changes the loss by minus its mask's gradient.
            cost = -float(gains[name][near].sum()) / max(1.0, float(sizes[name][near].sum()))
            self._costs[name] = SMOOTHING * self._costs[name] + (1 - SMOOTHING) * cost
        costs = np.array(list(self._costs.values()))
        spread = float(costs.std())
        if spread > 0:
            for name, cost in self._costs.items():
                self._logits[name] -= RATE * (cost - float(costs.mean())) / spread
        for gradient in self._gradients.values():
            gradient[:] = 0

    def _meet(
        self, ranks: dict[str, NDArray[np.int64]], sparsity: float
    ) -> dict[str, NDArray[np.bool_]]:
        """Shift all thresholds alike until the wanted share of all groups lies below them."""
        total = sum(rank.size for rank in ranks.values())
        low, high = -4 * LARGEST_LOGIT, 4 * LARGEST_LOGIT
        for _ in range(BISECTIONS):
            shift = (low + high) / 2
            removed = sum(_share(self._logits[n] + shift) * rank.size for n, rank in ranks.items())
            low, high = (shift, high) if removed < sparsity * total else (low, shift)
        keep = {}
        for name, rank in ranks.items():
            self._logits[name] += high
            keep[name] = rank >= round(_share(self._logits[name]) * rank.size)
            check_not_empty(name, keep[name], sparsity)
        return keep


def _ranks(energies: NDArray[np.float64]) -> NDArray[np.int64]:
    ranks = np.empty(energies.size, np.int64)
    ranks[np.argsort(energies, axis=None, kind="stable")] = np.arange(energies.size)
    return ranks.reshape(energies.shape)


def _share(logit: float) -> float:
    return float(1.0 / (1.0 + np.exp(-logit)))


def _logit(share: float) -> float:
    smallest = _share(-LARGEST_LOGIT)
    clipped = min(max(share, smallest), 1.0 - smallest)
    return float(np.log(clipped / (1.0 - clipped)))
