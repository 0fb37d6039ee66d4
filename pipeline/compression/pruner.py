"""Gradual pruning by magnitude, during int8 training."""

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.criterion import groups_to_keep
from pipeline.compression.structures import Structure
from pipeline.keras import tf
from pipeline.models.masknet import MaskNet


class GradualPruner:
    """Raises sparsity along TF-MOT's cubic schedule (Zhu & Gupta, 2017), whole network at once.

    What an earlier method has removed stays removed and counts towards the target.

    Args:
        model: its matrices' masks are set.
        structure: what is removed together.
        sparsity: final share of groups removed.
        end_step: step at which it is reached; afterwards the masks rest and the network recovers.
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
        # Imported here: TF-MOT takes seconds to load and only compression needs it.
        from tensorflow_model_optimization.sparsity.keras import PolynomialDecay

        self._model, self._structure = model, structure
        self._given = {m.name: m.mask.numpy() for m in model.matrices}
        self._sparsity, self._end_step = sparsity, end_step
        self._schedule = PolynomialDecay(
            initial_sparsity=0.0,
            final_sparsity=sparsity,
            begin_step=0,
            end_step=end_step,
            frequency=every_steps,
        )

    def before_step(self, step: int) -> None:
        """Update the masks if the schedule says so."""
        due, sparsity = self._schedule(tf.constant(step, tf.int64))
        # The end need not be a whole number of periods, but the target has to be reached.
        if (bool(due) or step == self._end_step) and self._sparsity > 0:
            prune(self._model, self._structure, float(sparsity), self._given)


def prune(
    model: MaskNet,
    structure: Structure,
    sparsity: float,
    given: dict[str, NDArray[np.float32]],
) -> None:
    """Mask all but the groups of largest magnitude, at once.

    Args:
        model: its matrices' masks are set.
        structure: what is removed together.
        sparsity: share of groups removed, those counted that ``given`` has removed already.
        given: masks of earlier methods, by matrix.
    """
    energies = structure.sums(
        {m.name: np.square(m.kernel.numpy() * given[m.name]) for m in model.matrices}
    )
    masks = structure.masks(groups_to_keep(energies, sparsity, structure.multiple))
    for matrix in model.matrices:
        matrix.mask.assign(masks[matrix.name] * given[matrix.name])


def sparsity_of(model: MaskNet) -> dict[str, float]:
    """Share of zero weights in each matrix and, as ``all``, in the network."""
    masks = {m.name: m.mask.numpy() for m in model.matrices}
    shares = {name: 1.0 - float(mask.mean()) for name, mask in masks.items()}
    kept = sum(float(mask.sum()) for mask in masks.values())
    return shares | {"all": 1.0 - kept / sum(mask.size for mask in masks.values())}
