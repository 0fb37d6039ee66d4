"""A low-rank pair in the place of what a recurrent layer multiplies by.

The product with ``[x, h]`` becomes two: one into a basis of few values, one from there to all gates
and the candidate. The pair is the one of its rank that loses least of the layer's sums on real
audio, the projection on their principal components, so training starts close to where it was.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.models.lstm import LSTM
from pipeline.models.weights import Weights


def with_low_rank(weights: Weights, rank: int, features: NDArray[np.float32]) -> Weights:
    """Factor the matrices of every recurrent layer.

    Args:
        weights: a network without low-rank pairs; what its masks removed is part of the factors.
        rank: values between the two products of a pair.
        features: network input of real audio, ``[batch, time, bands]``.

    Raises:
        InputError: a layer has a pair already, or reads too few values for one; names it.
    """
    network = weights.build()
    arrays = dict(weights.arrays)
    x = features
    for layer in network.lstms:
        if layer.basis is not None:
            raise InputError(f"{layer.name} is a low-rank pair already; take another parent")
        if rank >= layer.inputs + layer.units:
            raise InputError(
                f"rank {rank} makes {layer.name}, which reads {layer.inputs + layer.units} "
                "values, no smaller; choose a lower one"
            )
        hidden = layer(x).numpy()
        before = np.concatenate([np.zeros_like(hidden[:, :1]), hidden[:, :-1]], axis=1)
        read = np.concatenate([x, before], axis=2).reshape(-1, layer.inputs + layer.units)
        arrays |= _pair(layer, rank, read.astype(np.float64))
        x = hidden
    model = weights.model.model_copy(update={"lstm_ranks": (rank,) * len(network.lstms)})
    return dataclasses.replace(weights, model=model, arrays=arrays)


def _pair(layer: LSTM, rank: int, read: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
    """Arrays of a layer's basis, gates and candidate; ``read`` is what it multiplied, by row."""
    matrices = (layer.gates, layer.candidate)
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
    split = layer.gates.shape[1]
    found = {
        f"{layer.name}_basis": (kernel @ into, -mean @ into),
        f"{layer.name}_gates": (expansion[:, :split], after[:split]),
        f"{layer.name}_candidate": (expansion[:, split:], after[split:]),
    }
    arrays = {}
    for name, (factor, offset) in found.items():
        arrays[f"{name}/kernel"] = factor.astype(np.float32)
        arrays[f"{name}/bias"] = offset.astype(np.float32)
        arrays[f"{name}/mask"] = np.ones(factor.shape, np.float32)
    return arrays
