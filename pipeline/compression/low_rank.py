"""Low-rank pairs in the place of matrices.

What reads a tensor through a matrix reads a basis of few values made of it instead; in a recurrence
all that reads one tensor shares a basis. The pair is the one of its rank that loses least of the
sums on real audio, the projection on their principal components, so training starts close to where
it was.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.networks.graph import Node
from pipeline.networks.rewrites import through_basis, to_factor
from pipeline.networks.trained import Trained
from pipeline.training.model import SequenceModel


def with_low_rank(
    trained: Trained, rank: int, features: NDArray[np.float32], matrices: Sequence[str] = ()
) -> Trained:
    """Factor matrices.

    Args:
        trained: any network; what its masks removed is part of the factors.
        rank: values between the two products of a pair.
        features: network input of real audio, ``[batch, time, bands]``.
        matrices: which, see `to_factor`.

    Raises:
        InputError: one cannot be factored; names it.
    """
    model = trained.build()
    found = to_factor(trained.graph, rank, matrices)
    read = model.observe(features, [nodes[0].inputs[0] for nodes in found])
    graph, arrays = trained.graph, dict(trained.arrays)
    for nodes in found:
        graph, basis = through_basis(graph, nodes, rank)
        sums = [model.sums(node, read[node.inputs[0]]).numpy() for node in nodes]
        rows = np.concatenate(sums, axis=-1).astype(np.float64)
        arrays |= _pair(model, nodes, str(basis.matrix), rank, rows.reshape(-1, rows.shape[-1]))
    return dataclasses.replace(trained, graph=graph, arrays=arrays)


def _pair(
    model: SequenceModel, nodes: list[Node], basis: str, rank: int, sums: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    """Arrays of a basis and of the matrices behind it; ``sums`` are what they made, by row."""
    by_name = {matrix.name: matrix for matrix in model.matrices}
    matrices = [by_name[str(node.matrix)] for node in nodes]
    kernel = np.concatenate([m.value().numpy() for m in matrices], axis=1).astype(np.float64)
    bias = np.concatenate([m.bias.numpy() for m in matrices])
    mean = sums.mean(axis=0)
    variances, components = np.linalg.eigh(np.cov(sums.T))
    largest = np.argsort(variances)[::-1][:rank]
    directions = components[:, largest]
    # Every value between the products gets a deviation of 1, which fills its integer grid.
    deviations = np.sqrt(np.maximum(variances[largest], np.finfo(np.float32).eps))
    into = directions / deviations
    expansion = (directions * deviations).T
    after = bias + mean
    found = {basis: (kernel @ into, -mean @ into)}
    begin = 0
    for matrix in matrices:
        columns = slice(begin, begin + matrix.shape[1])
        found[matrix.name] = (expansion[:, columns], after[columns])
        begin = columns.stop
    arrays = {}
    for name, (factor, offset) in found.items():
        arrays[f"{name}/kernel"] = factor.astype(np.float32)
        arrays[f"{name}/bias"] = offset.astype(np.float32)
        arrays[f"{name}/mask"] = np.ones(factor.shape, np.float32)
    return arrays
