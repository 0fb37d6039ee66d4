"""Gradual pruning by magnitude, during int8 training."""

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.criterion import groups_to_keep
from pipeline.compression.schedule import RisingSparsity
from pipeline.compression.structures import Energies, Keep, Structure
from pipeline.training.model import SequenceModel

Masks = dict[str, NDArray[np.float32]]


class GradualPruner:
    """Raises sparsity along a schedule, whole network at once.

    What an earlier method has removed stays removed and counts towards the target.

    Args:
        model: its matrices' masks are set.
        structure: what is removed together.
        schedule: how much is removed when; after its end the masks rest and the network recovers.
    """

    def __init__(
        self, model: SequenceModel, structure: Structure, schedule: RisingSparsity
    ) -> None:
        self._model, self._structure, self._schedule = model, structure, schedule
        self._given = given_masks(model)

    def before_step(self, step: int) -> None:
        """Update the masks if the schedule says so."""
        sparsity = self._schedule.due(step)
        if sparsity is not None:
            prune(self._model, self._structure, sparsity, self._given)


def given_masks(model: SequenceModel) -> Masks:
    """What earlier methods have left, by matrix."""
    return {matrix.name: matrix.mask.numpy() for matrix in model.matrices}


def energies_of(model: SequenceModel, structure: Structure, given: Masks) -> Energies:
    """Sum of squared weights of every group, counting only what ``given`` keeps."""
    return structure.sums(
        {m.name: np.square(m.kernel.numpy() * given[m.name]) for m in model.matrices}
    )


def apply_choice(model: SequenceModel, structure: Structure, keep: Keep, given: Masks) -> None:
    """Mask all groups but the chosen ones, and what ``given`` lacks."""
    masks = structure.masks(keep)
    for matrix in model.matrices:
        matrix.mask.assign(masks[matrix.name] * given[matrix.name])


def prune(
    model: SequenceModel,
    structure: Structure,
    sparsity: float,
    given: Masks,
) -> None:
    """Mask all but the groups of largest magnitude, at once.

    Args:
        model: its matrices' masks are set.
        structure: what is removed together.
        sparsity: share of groups removed, those counted that ``given`` has removed already.
        given: masks of earlier methods, by matrix.
    """
    energies = energies_of(model, structure, given)
    apply_choice(model, structure, groups_to_keep(energies, sparsity, structure.multiple), given)


def sparsity_of(model: SequenceModel) -> dict[str, float]:
    """Share of zero weights in each matrix and, as ``all``, in the network."""
    masks = {m.name: m.mask.numpy() for m in model.matrices}
    shares = {name: 1.0 - float(mask.mean()) for name, mask in masks.items()}
    kept = sum(float(mask.sum()) for mask in masks.values())
    return shares | {"all": 1.0 - kept / sum(mask.size for mask in masks.values())}
