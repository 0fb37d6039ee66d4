"""A low-rank pair in the place of what a recurrence multiplies by.

What reads one tensor through matrices reads a basis of few values made of it instead. The pair is
the one of its rank that loses least of the products' sums on real audio, the projection on their
principal components, so training starts close to where it was.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.graph import Node
from pipeline.networks.rewrites import recurrent_products, through_basis
from pipeline.networks.trained import Trained
from pipeline.training.model import SequenceModel


def with_low_rank(trained: Trained, rank: int, features: NDArray[np.float32]) -> Trained:
    """Factor the matrices of every recurrence.

    Args:
        trained: a network without low-rank pairs; what its masks removed is part of the factors.
        rank: values between the two products of a pair.
        features: network input of real audio, ``[batch, time, bands]``.

    Raises:
        InputError: the network has no recurrence, a recurrence has a pair already, or reads too few
            values for one; names the matrices.
    """
    model = trained.build()
    products = recurrent_products(trained.graph)
    if not products:
        raise InputError("low rank: the network has no recurrence; choose another method")
    read = model.observe(features, products)
    graph, arrays = trained.graph, dict(trained.arrays)
    for name, nodes in products.items():
        matrices = ", ".join(str(node.matrix) for node in nodes)
        if any(reader.op == "product" for node in nodes for reader in graph.readers(node.name)):
            raise InputError(f"{matrices} is a low-rank pair already; take another parent")
        channels = graph[name].channels
        if rank >= channels:
            raise InputError(
                f"rank {rank} makes {matrices}, which reads {channels} values, no smaller; "
                "choose a lower one"
            )
        graph, basis = through_basis(graph, name, rank)
        rows = read[name].numpy().reshape(-1, channels).astype(np.float64)
        arrays |= _pair(model, nodes, str(basis.matrix), rank, rows)
    return dataclasses.replace(trained, graph=graph, arrays=arrays)


def _pair(
    model: SequenceModel, nodes: list[Node], basis: str, rank: int, read: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    """Arrays of a basis and of the matrices behind it; ``read`` is what they multiplied, by row."""
    by_name = {matrix.name: matrix for matrix in model.matrices}
    matrices = [by_name[str(node.matrix)] for node in nodes]
    kernel = np.concatenate([m.value().numpy() for m in matrices], axis=1).astype(np.float64)
    bias = np.concatenate([m.bias.numpy() for m in matrices])
    mean = read.mean(axis=0) @ kernel
    variances, components = np.linalg.eigh(kernel.T @ np.cov(read.T) @ kernel)
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
