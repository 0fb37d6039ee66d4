"""How much each group of weights matters, and which groups stay."""

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.structures import Energies
from pipeline.errors import InputError


def adaptive_magnitude(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Layer-adaptive magnitude of every group, comparable between families.

    A group's energy (sum of squared weights) over the sum of all energies at least as large in
    its family (LAMP, Lee et al., 2021): the relative damage of removing it next. Each family's
    largest group scores 1, so a global threshold shares a target out between families.

    Args:
        energies: one family, any shape.

    Returns:
        Scores of the same shape in [0, 1]; larger matters more.
    """
    flat = energies.ravel()
    order = np.argsort(flat, kind="stable")
    at_least = np.cumsum(flat[order][::-1])[::-1]
    scores = np.empty_like(flat)
    scores[order] = flat[order] / np.maximum(at_least, np.finfo(np.float64).tiny)
    return scores.reshape(energies.shape)


def groups_to_keep(
    energies: Energies, sparsity: float, multiple: int = 1
) -> dict[str, NDArray[np.bool_]]:
    """Keep the best ``1 - sparsity`` of all groups taken together.

    Args:
        energies: by family, see `Structure.sums`.
        sparsity: share of all groups to remove, in [0, 1).
        multiple: keep a whole multiple of this many groups in every family (the nearest one, so
            the total is then approximate); families no larger than that stay whole.

    Returns:
        Booleans of the same shapes; with ``multiple`` 1 exactly the requested number is False.

    Raises:
        InputError: a family would become empty; names it.
    """
    scores = {name: adaptive_magnitude(array) for name, array in energies.items()}
    everything = np.concatenate([array.ravel() for array in scores.values()])
    flat = np.ones(everything.size, bool)
    flat[np.argsort(everything, kind="stable")[: round(sparsity * everything.size)]] = False
    keep, start = {}, 0
    for name, array in scores.items():
        chosen = flat[start : start + array.size].reshape(array.shape)
        start += array.size
        keep[name] = in_multiples(chosen, array, multiple)
        check_not_empty(name, keep[name], sparsity)
    return keep


def check_not_empty(name: str, keep: NDArray[np.bool_], sparsity: float) -> None:
    """Refuse to remove everything of a family.

    Raises:
        InputError: names the family and what to change.
    """
    if not keep.any():
        raise InputError(
            f"sparsity {sparsity} leaves {name!r} empty; lower the target or make it larger"
        )


def in_multiples(
    chosen: NDArray[np.bool_], scores: NDArray[np.float64], multiple: int
) -> NDArray[np.bool_]:
    """As many as chosen, to the nearest multiple, and those of the largest scores."""
    if multiple == 1 or chosen.all():
        return chosen
    count = min(chosen.size, max(multiple, multiple * round(chosen.sum() / multiple)))
    best = np.zeros(chosen.shape, bool)
    best.ravel()[np.argsort(-scores.ravel(), kind="stable")[:count]] = True
    return best
