"""Ranges that are not known in advance, measured once on real audio."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.graph import MOVES
from pipeline.networks.trained import Trained
from pipeline.quantization.scheme import Scheme

# A measured grid reaches a little above the largest value seen.
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
        largest = max(float(np.abs(observed[name]).max()) for name in group)
        signed = any(observed[name].min() < 0 for name in group)
        scheme = scheme.measured(role, round(MARGIN * largest, 4), signed)
    return dataclasses.replace(trained, scheme=scheme)
