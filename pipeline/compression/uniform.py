"""One share of the channels of every layer removed at once, whatever says which ones."""

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.channel_excitation import ChannelExcitations
from pipeline.compression.criterion import check_not_empty, in_multiples
from pipeline.compression.pruner import apply_choice, energies_of, given_masks
from pipeline.compression.structures import UNIT_MULTIPLE, Energies, UnitStructure
from pipeline.networks.groups import groups
from pipeline.training.model import SequenceModel

# A layer keeps the channels of more than this share of its mean importance (Chang et al., 2020).
PUBLISHED_SHARE = 0.999
SEED = 0


class UniformCut:
    """Scores the units of each group while the network is trained, then removes some of each.

    Args:
        model: its matrices' masks are set.
        importance: "excitation", "magnitude" or "random".
        sparsity: share of every group to remove; None for the rule of the paper.
        step: when.
    """

    def __init__(
        self, model: SequenceModel, importance: str, sparsity: float | None, step: int
    ) -> None:
        self._model, self._importance = model, importance
        self._sparsity, self._step = sparsity, step
        self._structure = UnitStructure(model.graph.matrices(), groups(model.graph))
        self._given = given_masks(model)
        self._blocks = ChannelExcitations(model) if importance == "excitation" else None

    def before_step(self, step: int) -> None:
        """Remove units if it is time."""
        if step < self._step and self._blocks is not None:
            self._blocks.decay()
        elif step == self._step:
            energies = energies_of(self._model, self._structure, self._given)
            keep = {name: np.ones(units.shape, bool) for name, units in energies.items()}
            for name, scores in self._scores(energies).items():
                keep[name] = kept(scores, self._sparsity)
                check_not_empty(name, keep[name], self._sparsity or 0.0)
            apply_choice(self._model, self._structure, keep, self._given)
            if self._blocks is not None:
                self._blocks.close()

    def _scores(self, energies: Energies) -> Energies:
        if self._blocks is not None:
            return self._blocks.importances()
        if self._importance == "magnitude":
            return energies
        random = np.random.default_rng(SEED)
        return {name: random.random(units.shape) for name, units in energies.items()}


def kept(scores: NDArray[np.float64], sparsity: float | None) -> NDArray[np.bool_]:
    """The units of one group that stay: the best ones, a whole multiple of them.

    Args:
        scores: ``[units]``, larger matters more.
        sparsity: share to remove; None for the rule of the paper.
    """
    if sparsity is None:
        chosen = scores > PUBLISHED_SHARE * scores.mean()
    else:
        chosen = np.arange(scores.size) < round((1 - sparsity) * scores.size)
    return in_multiples(chosen, scores, UNIT_MULTIPLE)
