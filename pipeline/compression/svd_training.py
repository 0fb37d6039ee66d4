"""Low-rank pairs trained as singular vectors and values, so that every pair learns its own rank.

After SVD training (Yang et al., 2020). A matrix is kept as ``U diag(s) V^T`` there, and the loss
gets ``l_o (O(U) + O(V)) + l_s R(s)``: vectors are pulled towards orthogonality, values towards
sparsity by Hoyer's measure; then the smallest values are dropped.

Reconstructed: what is trained is the pair that ships, ``A = U sqrt(s) D`` and
``B = D^-1 sqrt(s) V^T``, where D gives every value between the two a deviation of 1. Vectors have
length one by definition, ``s_k = |A_k| |B_k|``, and both pulls are steps of their own beside
Adam's, which leave D alone. Hoyer's measure and its square pull in the same directions once the
strength is set by how far a typical value moves.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.criterion import in_multiples
from pipeline.compression.pruner import apply_choice, given_masks
from pipeline.compression.regularizers import hoyer_square, scaled
from pipeline.compression.structures import UNIT_MULTIPLE, UnitStructure
from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph
from pipeline.networks.groups import groups
from pipeline.networks.rewrites import REDUCED
from pipeline.networks.trained import Trained
from pipeline.training.matrix import Matrix
from pipeline.training.model import SequenceModel

Array = NDArray[np.float64]
EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class Names:
    """A pair in a graph.

    Attributes:
        reduced: tensor between the two products.
        basis: matrix that makes it.
        readers: matrices that read it.
    """

    reduced: str
    basis: str
    readers: tuple[str, ...]


def pairs(graph: HopGraph) -> list[Names]:
    """All low-rank pairs of a network, in the order of the computation."""
    found = []
    for node in graph.nodes:
        if node.matrix is not None and node.role == REDUCED:
            readers = [str(reader.matrix) for reader in graph.readers(node.name)]
            found.append(Names(node.name, node.matrix, tuple(readers)))
    return found


def along_singular_vectors(trained: Trained, features: NDArray[np.float32]) -> Trained:
    """The same products with each pair turned to singular vectors, and a deviation of 1 between.

    Args:
        trained: a network with low-rank pairs.
        features: network input of real audio, ``[batch, time, bands]``.
    """
    found = pairs(trained.graph)
    between = trained.build().observe(features, [pair.reduced for pair in found])
    arrays = dict(trained.arrays)
    for pair in found:
        first = _masked(arrays, pair.basis)
        parts = [_masked(arrays, name) for name in pair.readers]
        q, r = np.linalg.qr(first)
        u, s, vt = np.linalg.svd(r @ np.hstack(parts), full_matrices=False)
        # What every value between becomes: x @ turn.
        turn = np.linalg.solve(r, u * np.sqrt(s))
        values = between[pair.reduced].numpy().reshape(-1, s.size) @ turn
        deviations = np.maximum(values.std(axis=0), np.finfo(np.float32).eps)
        arrays |= _arrays(pair.basis, q @ u * (np.sqrt(s) / deviations))
        bias = arrays[f"{pair.basis}/bias"] @ turn / deviations
        arrays[f"{pair.basis}/bias"] = bias.astype(np.float32)
        second = (np.sqrt(s) * deviations)[:, None] * vt
        ends = np.cumsum([part.shape[1] for part in parts])
        for name, part in zip(pair.readers, np.split(second, ends[:-1], axis=1), strict=True):
            arrays |= _arrays(name, part)
    return dataclasses.replace(trained, arrays=arrays)


class _Pair:
    """A pair in training; columns of U and V are singular vectors."""

    def __init__(self, basis: Matrix, readers: list[Matrix]) -> None:
        self.basis, self._readers = basis, readers

    def factors(self) -> tuple[Array, Array]:
        """A ``[inputs, rank]`` and B transposed ``[outputs, rank]``, masked."""
        second = [reader.kernel.numpy() * reader.mask.numpy() for reader in self._readers]
        first = self.basis.kernel.numpy() * self.basis.mask.numpy()
        return first.astype(np.float64), np.hstack(second).astype(np.float64).T

    def assign(self, first: Array, second: Array) -> None:
        """Set what `factors` returned."""
        self.basis.kernel.assign(first.astype(np.float32))
        begin = 0
        for reader in self._readers:
            end = begin + reader.shape[1]
            reader.kernel.assign(second[begin:end].T.astype(np.float32))
            begin = end

    def values(self) -> Array:
        """Singular values ``[rank]``."""
        first, second = self.factors()
        return np.asarray(np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0))


class SingularValues:
    """Pulls vectors to orthogonality and values to sparsity, then drops the smallest values.

    Args:
        model: has low-rank pairs; their masks are set.
        rank: mean over the pairs of what is kept.
        strength: share by which a typical value moves at a step.
        orthogonality: share of their overlap that vectors lose at a step.
        end_step: when values are dropped; vectors are pulled after it too.

    Raises:
        InputError: the network has no pair.
    """

    def __init__(
        self, model: SequenceModel, rank: int, strength: float, orthogonality: float, end_step: int
    ) -> None:
        by_name = {matrix.name: matrix for matrix in model.matrices}
        self._pairs = [
            _Pair(by_name[pair.basis], [by_name[name] for name in pair.readers])
            for pair in pairs(model.graph)
        ]
        if not self._pairs:
            raise InputError("singular values: the network has no low-rank pair; make some first")
        self._model, self._rank, self._end_step = model, rank, end_step
        self._strength, self._orthogonality = strength, orthogonality
        self._structure = UnitStructure(model.graph.matrices(), groups(model.graph))
        self._given = given_masks(model)

    def before_step(self, step: int) -> None:
        """Pull; at the end of pruning drop values."""
        if step == self._end_step:
            self._drop()
        for pair in self._pairs:
            first, second = (straightened(f, self._orthogonality) for f in pair.factors())
            if step < self._end_step:
                # A value's pull is shared between both its vectors, which leaves D as it is.
                energies = np.square(pair.values())
                pull = self._strength * scaled(hoyer_square(energies))
                kept = np.sqrt(np.clip(1.0 - pull, 0.0, 2.0))
                first, second = first * kept, second * kept
            pair.assign(first, second)

    def _drop(self) -> None:
        keep = {group.name: np.ones(group.units, bool) for group in groups(self._model.graph)}
        chosen = shared_out([pair.values() for pair in self._pairs], self._rank)
        for pair, kept in zip(self._pairs, chosen, strict=True):
            for group in groups(self._model.graph):
                for tie in group.ties:
                    if (tie.matrix, tie.axis) == (pair.basis.name, 1):
                        keep[group.name][tie.unit] = kept
        apply_choice(self._model, self._structure, keep, self._given)


def straightened(factor: Array, share: float) -> Array:
    """Columns a step nearer to orthogonal, of the lengths that they had.

    The gradient step of ``||U^T U - I||^2`` for columns of length one; at share 0.5 it is Newton's
    step to the nearest orthogonal matrix.
    """
    lengths = np.linalg.norm(factor, axis=0)
    unit = factor / np.maximum(lengths, EPSILON)
    overlap = unit.T @ unit
    np.fill_diagonal(overlap, 0.0)
    unit -= share * unit @ overlap
    return np.asarray(unit / np.maximum(np.linalg.norm(unit, axis=0), EPSILON) * lengths)


def shared_out(values: list[Array], rank: int) -> list[NDArray[np.bool_]]:
    """Which singular values each pair keeps: in eights, and at most `rank` on average.

    A pair drops its smallest values while the sum of their squares is at most a share of all its
    squares; the share is the same for all pairs, the least that meets the rank.
    """
    tails = []
    for s in values:
        order = np.argsort(s)
        tail = np.empty(s.size)
        tail[order] = np.cumsum(np.square(s[order])) / max(float(np.square(s).sum()), EPSILON)
        tails.append(tail)
    kept = [np.ones(tail.shape, bool) for tail in tails]
    for least in np.sort(np.concatenate(tails)):
        if sum(int(chosen.sum()) for chosen in kept) <= rank * len(values):
            break
        kept = [in_multiples(tail > least, tail, UNIT_MULTIPLE) for tail in tails]
    return kept


def _masked(arrays: dict[str, NDArray[np.float32]], name: str) -> Array:
    return (arrays[f"{name}/kernel"] * arrays[f"{name}/mask"]).astype(np.float64)


def _arrays(name: str, kernel: Array) -> dict[str, NDArray[np.float32]]:
    return {
        f"{name}/kernel": kernel.astype(np.float32),
        f"{name}/mask": np.ones(kernel.shape, np.float32),
    }
