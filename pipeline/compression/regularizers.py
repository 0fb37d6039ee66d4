"""Group regularizers, so that structure emerges before it is cut.

Both shrink small groups faster than large ones. They are decoupled from the loss, as weight decay
is in AdamW: mixed into Adam's gradient, their pull would be normalized away.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.structures import Energies, Structure
from pipeline.training.model import SequenceModel

EPSILON = 1e-12


def group_lasso(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gradient factor of ``sum ||w_g||`` (Yuan & Lin, 2006): each group's ``1 / ||w_g||``."""
    return 1.0 / np.sqrt(energies + EPSILON)


def hoyer_square(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gradient factor of ``(sum ||w_g||)^2 / sum ||w_g||^2`` (DeepHoyer, Yang et al., 2020).

    Groups below the norm ``sum ||w||^2 / sum ||w||`` shrink, larger ones grow: it sharpens the
    contrast instead of shrinking everything. A family of zeros has no gradient.
    """
    norms = np.sqrt(energies)
    total, square = norms.sum(), energies.sum()
    if square <= EPSILON:
        return np.zeros_like(energies)
    pull: NDArray[np.float64] = (
        2 * total / square * (1.0 / np.sqrt(energies + EPSILON) - total / square)
    )
    return pull


Factor = Callable[[NDArray[np.float64]], NDArray[np.float64]]
REGULARIZERS: dict[str, Factor] = {"group_lasso": group_lasso, "hoyer_square": hoyer_square}


class Regularizer:
    """Pulls weights down the gradient of a group regularizer, a step at a time.

    Args:
        model: whose weights are pulled.
        structure: what forms a group.
        name: key of `REGULARIZERS`.
        strength: a group of typical norm moves by this share of its norm a step.
        end_step: step from which it rests.
    """

    def __init__(
        self, model: SequenceModel, structure: Structure, name: str, strength: float, end_step: int
    ) -> None:
        self._model, self._structure = model, structure
        self._factor, self._strength, self._end_step = REGULARIZERS[name], strength, end_step

    def before_step(self, step: int) -> None:
        """Shrink the weights, unless pruning has ended."""
        if step >= self._end_step:
            return
        kernels = {m.name: m.kernel.numpy() for m in self._model.matrices}
        factors = {
            name: self._strength * scaled(self._factor(energies))
            for name, energies in self._energies(kernels).items()
        }
        pulls = self._structure.spread(factors)
        for matrix in self._model.matrices:
            # No further than zero: a step across it would only oscillate.
            kept = np.clip(1.0 - pulls[matrix.name], 0.0, 2.0)
            matrix.kernel.assign(kernels[matrix.name] * kept)

    def _energies(self, kernels: dict[str, NDArray[np.float32]]) -> Energies:
        return self._structure.sums({name: np.square(kernel) for name, kernel in kernels.items()})


def scaled(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gradient factors of a family, so that a typical one is 1 in magnitude."""
    return np.asarray(factor / max(float(np.median(np.abs(factor))), EPSILON))
