"""Convolutions over frames as few kernels that all channels share, and their coefficients.

After PENNI (Li et al., 2020): a layer's kernels, one of `taps` numbers for every pair of an input
and an output, are combinations of few basis kernels. The NPU runs them as one convolution and a
product, bases first; the other order, with a depthwise convolution of every basis, is ESCALATE's
(Li et al., 2021).

Reconstructed: the start is a singular value decomposition of the kernels as they are, not of
centred ones, which would lose the mean; every value between the two stages is scaled to the same
range, so that the grid they share serves all bases alike.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.pruner import Masks, given_masks
from pipeline.compression.schedule import RisingSparsity
from pipeline.compression.shrink import shrink
from pipeline.keras import tf
from pipeline.networks.graph import HopGraph, Node
from pipeline.networks.rewrites import (
    Factored,
    bases_first,
    coefficients_first,
    factored,
    frames,
    over_frames,
)
from pipeline.networks.trained import Trained
from pipeline.quantization.calibration import in_scheme
from pipeline.quantization.scheme import FLOAT
from pipeline.training.matrix import Matrix
from pipeline.training.model import SequenceModel

Order = Literal["bases_first", "coefficients_first"]
REWRITES = {"bases_first": bases_first, "coefficients_first": coefficients_first}
# Largest value between the stages; its grid is [-1, 1).
LARGEST = 0.9
EPSILON = 1e-12


def taps(graph: HopGraph, conv: Node) -> int:
    """Numbers of one kernel: bands times frames."""
    return conv.kernel * frames(graph, conv)


def with_bases(
    trained: Trained, bases: int, order: Order, features: NDArray[np.float32]
) -> Trained:
    """Factor every convolution over frames; what masks removed stays zero as far as bases allow.

    Args:
        trained: a folded network in an integer scheme.
        bases: kernels of a convolution, fewer than it has taps.
        order: which of the two stages comes first.
        features: network input of real audio, ``[batch, time, bands]``.
    """
    graph, arrays = trained.graph, dict(trained.arrays)
    for conv in over_frames(trained.graph):
        count = taps(graph, conv)
        graph = REWRITES[order](graph, conv, bases)
        kernel = arrays.pop(f"{conv.matrix}/kernel") * arrays.pop(f"{conv.matrix}/mask")
        bias = arrays.pop(f"{conv.matrix}/bias")
        shared, coefficients = decomposed(kernel, count, bases)
        new = _one_of(graph, conv.name, order)
        if order == "bases_first":
            arrays |= _matrix(new.bases[0], shared.T)
            beside = np.stack(coefficients, axis=1).reshape(-1, kernel.shape[1])
            arrays |= _matrix(new.coefficients[0], beside, bias)
        else:
            for name, basis in zip(new.bases, shared, strict=True):
                arrays |= _matrix(name, np.repeat(basis[:, None], kernel.shape[1], axis=1))
            for name, part in zip(new.coefficients, coefficients, strict=True):
                arrays |= _matrix(name, part)
            arrays[f"{new.bases[0]}/bias"] = bias
    made = dataclasses.replace(trained, graph=graph, arrays=arrays)
    return in_scheme(_spread(made, order, features), made.scheme, features)


def decomposed(
    kernel: NDArray[np.float32], taps: int, bases: int
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The bases ``[bases, taps]`` of length one and their coefficients ``[inputs, outputs]``.

    Args:
        kernel: ``[taps x inputs, outputs]``.
        taps: of a kernel.
        bases: how many to keep.
    """
    outputs = kernel.shape[1]
    u, s, vt = np.linalg.svd(kernel.reshape(taps, -1), full_matrices=False)
    parts = (s[:bases, None] * vt[:bases]).reshape(bases, -1, outputs)
    return u[:, :bases].T.astype(np.float32), [part.astype(np.float32) for part in parts]


class KernelBases:
    """Trains bases and coefficients in turns while weak coefficients go, then both together.

    Args:
        model: a network with factored convolutions.
        deviations: coefficients below this many deviations of their layer are removed in the end.
        l1: share of the mean magnitude by which every coefficient shrinks at a step.
        turn_steps: steps until the other is trained.
        end_step: when both are trained and masks rest.
        every_steps: steps between updates of the masks.
    """

    def __init__(
        self,
        model: SequenceModel,
        deviations: float,
        l1: float,
        turn_steps: int,
        end_step: int,
        every_steps: int,
    ) -> None:
        self._model, self._l1 = model, l1
        self._turn_steps, self._end_step = turn_steps, end_step
        by_name = {matrix.name: matrix for matrix in model.matrices}
        found = factored(model.graph)
        self._bases = [by_name[name] for layer in found for name in layer.bases]
        self._layers = [[by_name[name] for name in layer.coefficients] for layer in found]
        self._given: Masks = given_masks(model)
        self._moving = {}
        for matrix in (*self._bases, *self._coefficients):
            self._moving[matrix.name] = _in_turns(matrix)
        share_kernels(model)
        self._schedules = [
            _schedule(weak_share(layer, deviations), end_step, every_steps)
            for layer in self._layers
        ]

    @property
    def _coefficients(self) -> list[Matrix]:
        return [matrix for layer in self._layers for matrix in layer]

    def before_step(self, step: int) -> None:
        """Take turns, shrink and mask coefficients; at the end remove what nobody needs."""
        together = step >= self._end_step
        bases = step // self._turn_steps % 2 == 1
        for matrix in self._bases:
            self._moving[matrix.name].assign(float(together or bases))
        for matrix in self._coefficients:
            self._moving[matrix.name].assign(float(together or not bases))
        if not together and not bases:
            self._pull()
        for layer, schedule in zip(self._layers, self._schedules, strict=True):
            sparsity = None if schedule is None else schedule.due(step)
            if sparsity is not None:
                self._mask(layer, sparsity)
        if step == self._end_step:
            shrink(self._model)

    def _pull(self) -> None:
        for matrix in self._coefficients:
            kernel = matrix.kernel.numpy()
            less = np.maximum(np.abs(kernel) - self._l1 * np.abs(kernel).mean(), 0.0)
            matrix.kernel.assign(np.sign(kernel) * less)

    def _mask(self, layer: list[Matrix], sparsity: float) -> None:
        """Mask a share of one layer's coefficients, the smallest."""
        sizes = [np.abs(m.kernel.numpy()) * self._given[m.name] for m in layer]
        order = np.argsort(np.concatenate([size.ravel() for size in sizes]), kind="stable")
        kept = np.ones(order.size, np.float32)
        kept[order[: round(sparsity * order.size)]] = 0.0
        begin = 0
        for matrix, size in zip(layer, sizes, strict=True):
            mask = kept[begin : begin + size.size].reshape(size.shape)
            matrix.mask.assign(mask * self._given[matrix.name])
            begin += size.size


def weak_share(layer: list[Matrix], deviations: float) -> float:
    """Share of a layer's coefficients below so many of their deviations (published: one)."""
    values = np.concatenate([matrix.kernel.numpy().ravel() for matrix in layer])
    return float(np.mean(np.abs(values) < deviations * values.std()))


def _schedule(share: float, end_step: int, every_steps: int) -> RisingSparsity | None:
    return RisingSparsity(share, end_step, every_steps) if share > 0 else None


def _in_turns(matrix: Matrix) -> "tf.Variable":
    """A switch, 1 while the matrix is trained and 0 while it is not."""
    moving = matrix.keep("moving", 1.0)

    def restricted(weights: "tf.Tensor") -> "tf.Tensor":
        # Selected, not blended: the values have to stay what they are in every bit.
        return tf.where(moving > 0, weights, tf.stop_gradient(weights))

    matrix.restrict(restricted)
    return moving


def share_kernels(model: SequenceModel) -> None:
    """Let all channels of a depthwise basis that are left have one kernel, the mean of theirs."""
    depthwise = {node.matrix for node in model.graph.nodes if node.op == "depthwise"}
    bases = {name for layer in factored(model.graph) for name in layer.bases}

    def shared(matrix: Matrix) -> Callable[["tf.Tensor"], "tf.Tensor"]:
        def restricted(weights: "tf.Tensor") -> "tf.Tensor":
            left = tf.reduce_max(matrix.mask, axis=0)
            count = tf.maximum(tf.reduce_sum(left), 1.0)
            return tf.reduce_sum(weights, axis=1, keepdims=True) / count * left

        return restricted

    for matrix in model.matrices:
        if matrix.name in depthwise & bases:
            matrix.restrict(shared(matrix))


def _one_of(graph: HopGraph, name: str, order: Order) -> Factored:
    """The factored convolution that makes a tensor."""
    node = graph[name]
    if order == "bases_first":
        return next(f for f in factored(graph) if str(node.matrix) in f.coefficients)
    leaves = list(node.inputs)
    while graph[leaves[0]].op == "add":
        leaves[:1] = graph[leaves[0]].inputs
    return next(f for f in factored(graph) if str(graph[leaves[0]].matrix) in f.bases)


def _spread(trained: Trained, order: Order, features: NDArray[np.float32]) -> Trained:
    """The same function with values between the stages that all reach equally far."""
    found, arrays = factored(trained.graph), dict(trained.arrays)
    names = [name for layer in found for name in layer.between]
    observed = trained.build(FLOAT).observe(features, names)

    def scaled(matrix: str, factors: NDArray[np.float32]) -> None:
        arrays[f"{matrix}/kernel"] = arrays[f"{matrix}/kernel"] * factors

    for layer in found:
        reach = [np.abs(observed[name].numpy()) for name in layer.between]
        if order == "bases_first":
            (basis,), (product,), (values,) = layer.bases, layer.coefficients, reach
            factors = _factors(values.reshape(-1, values.shape[-1]).max(axis=0))
            scaled(basis, factors)
            rows = arrays[f"{product}/kernel"].shape[0] // factors.size
            scaled(product, np.float32(1) / np.tile(factors, rows)[:, None])
        else:
            factors = _factors(np.array([values.max() for values in reach]))
            for k, factor in enumerate(factors):
                scaled(layer.coefficients[k], factor)
                scaled(layer.bases[k], 1 / factor)
    return dataclasses.replace(trained, arrays=arrays)


def _factors(reach: NDArray[np.float32]) -> NDArray[np.float32]:
    """What makes values that reach so far reach `LARGEST`."""
    return (LARGEST / np.maximum(reach, EPSILON)).astype(np.float32)


def _matrix(
    name: str, kernel: NDArray[np.float32], bias: NDArray[np.float32] | None = None
) -> dict[str, NDArray[np.float32]]:
    return {
        f"{name}/kernel": kernel,
        f"{name}/mask": np.ones(kernel.shape, np.float32),
        f"{name}/bias": np.zeros(kernel.shape[1], np.float32) if bias is None else bias,
    }
