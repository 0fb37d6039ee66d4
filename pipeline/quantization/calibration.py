"""Ranges that are not known in advance, measured once on real audio."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.graph import MOVES
from pipeline.networks.trained import Trained
from pipeline.quantization.scheme import Scheme

# The widest grid that is tried reaches a little above the largest value seen.
MARGIN = 1.1
# Operators that training computes as the target does in 8 bits alone.
INT8_ALONE = ("softmax", "matmul", "mean", "requantize")


def in_scheme(trained: Trained, scheme: Scheme, features: NDArray[np.float32]) -> Trained:
    """The network in an integer scheme, which gets a grid for every role it has none for.

    Args:
        trained: a network trained in floating point.
        scheme: an integer scheme.
        features: network input of real audio, ``[batch, time, bands]``.

    Raises:
        InputError: the scheme has no exact arithmetic for an operator; names the node.
    """
    for node in trained.graph.nodes:
        if node.op in INT8_ALONE and scheme.name != "int8":
            raise InputError(
                f'{node.name!r}: {node.op} is exact in int8 alone; set scheme = "int8"'
            )
    wanted: dict[str, list[str]] = {}
    for node in trained.graph.nodes:
        if node.op not in MOVES and node.role is not None and node.role not in scheme.grids:
            wanted.setdefault(node.role, []).append(node.name)
    names = [name for group in wanted.values() for name in group]
    observed = {n: x.numpy() for n, x in trained.build().observe(features, names).items()}
    for role, group in wanted.items():
        values = np.concatenate([observed[name].ravel() for name in group])
        scheme = _measured(scheme, role, values)
    return dataclasses.replace(trained, scheme=scheme)


def _measured(scheme: Scheme, role: str, values: NDArray[np.float32]) -> Scheme:
    """The scheme with the grid that holds a role's values at the least mean square error.

    Steps of half the size cut off the largest values and halve the rounding of all others.
    """
    maximum, signed = round(MARGIN * float(np.abs(values).max()), 4), bool(values.min() < 0)
    best, least = scheme, np.inf
    while True:
        tried = scheme.measured(role, maximum, signed)
        grid = tried.grids[role]
        error = float(np.mean(np.square(grid.dequantize(grid.quantize(values)) - values)))
        if error >= least:
            return best
        best, least, maximum = tried, error, maximum / 2
