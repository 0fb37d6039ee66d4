"""Units that masks of single weights have left without a maker or without a reader."""

import numpy as np

from pipeline.compression.pruner import apply_choice, given_masks
from pipeline.compression.structures import UnitStructure
from pipeline.networks.groups import NO_UNIT, Group, groups
from pipeline.training.model import SequenceModel


def shrink(model: SequenceModel) -> None:
    """Mask all that belongs to such units, until there are none (Li et al., 2020).

    A unit goes when every weight that makes it is masked, whatever its bias, or every weight that
    reads it; a unit of several makers that are added only when all of them agree. The last unit of
    a group stays.
    """
    found = groups(model.graph)
    depthwise = {node.matrix for node in model.graph.nodes if node.op == "depthwise"}
    structure = UnitStructure(model.graph.matrices(), found)
    count = -1
    while count != (count := _masked(model)):
        masks = given_masks(model)
        keep = {}
        for group in found:
            alive = _seen(group, 1, masks, depthwise) & _seen(group, 0, masks, set())
            keep[group.name] = alive if alive.any() else np.ones_like(alive)
        apply_choice(model, structure, keep, masks)


def _seen(group: Group, axis: int, masks: dict, left_out: set) -> np.ndarray:
    """Units with a weight left on one axis of any matrix; all if no matrix has them there."""
    ties = [tie for tie in group.ties if tie.axis == axis and tie.matrix not in left_out]
    seen = np.full(group.units, not ties)
    for tie in ties:
        line = masks[tie.matrix].any(axis=1 - axis)
        tied = tie.unit != NO_UNIT
        np.logical_or.at(seen, tie.unit[tied], line[tied])
    return seen


def _masked(model: SequenceModel) -> int:
    return sum(int((matrix.mask.numpy() == 0).sum()) for matrix in model.matrices)
