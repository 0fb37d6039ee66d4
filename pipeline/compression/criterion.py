"""How much each weight matters."""

import numpy as np
from numpy.typing import NDArray


def magnitude(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Layer-adaptive magnitude of every weight, comparable between matrices.

    A weight's squared magnitude over the sum of all squares at least as large in its matrix
    (LAMP, Lee et al., 2021): the relative damage of removing it next. Each matrix's largest weight
    scores 1, so a global threshold shares a sparsity target out between matrices and can never
    empty one.

    Args:
        weights: one matrix, any shape.

    Returns:
        Scores of the same shape in (0, 1]; larger matters more.
    """
    squares = np.square(weights, dtype=np.float64).ravel() + np.finfo(np.float64).tiny
    order = np.argsort(squares, kind="stable")
    at_least = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = squares[order] / at_least
    return scores.reshape(weights.shape)


def masks_for(scores: dict[str, NDArray[np.float64]], sparsity: float) -> dict[str, NDArray]:
    """Keep the best ``1 - sparsity`` of all weights taken together.

    Args:
        scores: one array of scores a matrix.
        sparsity: share of all weights to remove, in [0, 1).

    Returns:
        float32 masks of the same shapes, 1 to keep and 0 to remove, exactly the requested number.

    Raises:
        ValueError: a matrix would become empty; names it.
    """
    everything = np.concatenate([array.ravel() for array in scores.values()])
    removed = round(sparsity * everything.size)
    flat = np.ones(everything.size, np.float32)
    flat[np.argsort(everything, kind="stable")[:removed]] = 0
    masks, start = {}, 0
    for name, array in scores.items():
        masks[name] = flat[start : start + array.size].reshape(array.shape)
        start += array.size
        if not masks[name].any():
            raise ValueError(
                f"sparsity {sparsity} leaves matrix {name!r} empty; lower the target or make the "
                "matrix larger"
            )
    return masks
