"""Lines: rows and columns of the matrices of attention and feed-forward pairs.

A line of one matrix has a partner in another: a column of the queries one of the keys, a column of
the values a row of what the heads are projected back with, a column of a feed-forward pair's first
matrix a row of its second. Partners are one group (`pipeline.networks.groups`); a group of which
every line belongs to a product is what can be removed here.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.compression.attention_pruning import best
from pipeline.compression.pruner import apply_choice, energies_of, given_masks
from pipeline.compression.regularizers import EPSILON, Regularizer
from pipeline.compression.structures import Array, Energies, UnitStructure
from pipeline.networks.graph import HopGraph
from pipeline.networks.groups import NO_UNIT, Group, groups
from pipeline.training.model import SequenceModel

# Axis that a line's weights lie along: a row has a weight for every column.
DIRECTIONS = {"rows": 1, "columns": 0}
Blocks = list[NDArray[np.int64]]


def line_groups(graph: HopGraph) -> list[Group]:
    """Groups that occur in products alone, outside recurrences."""
    recurrent = frozenset[str]().union(*graph.recurrences())
    products = {n.matrix for n in graph.nodes if n.op == "product" and n.name not in recurrent}
    return [g for g in groups(graph) if products.issuperset(tie.matrix for tie in g.ties)]


class LineStructure:
    """Rows and columns of every block of a matrix, a block being what one head makes or reads.

    A weight lies in one row and one column; see `pipeline.compression.structures.Structure`.
    """

    multiple = 1

    def __init__(self, graph: HopGraph) -> None:
        self._shapes = graph.matrices()
        found = line_groups(graph)
        self.matrices = sorted({tie.matrix for group in found for tie in group.ties})
        self._blocks = {
            (matrix, axis): _blocks(found, matrix, axis, self._shapes[matrix][axis])
            for matrix in self.matrices
            for axis in (0, 1)
        }

    def sums(self, values: Mapping[str, NDArray]) -> Energies:
        """One family a matrix and direction, ``[blocks, lines]``."""
        energies = {}
        for matrix in self.matrices:
            whole = np.asarray(values[matrix], np.float64)
            for direction, along in DIRECTIONS.items():
                blocks = self._blocks[matrix, along]
                parts = [np.take(whole, block, axis=along).sum(axis=along) for block in blocks]
                energies[f"{matrix}/{direction}"] = np.stack(parts)
        return energies

    def spread(self, values: Mapping[str, NDArray]) -> dict[str, Array]:
        """The adjoint of `sums`; other matrices get nothing."""
        spread = {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}
        for matrix in self.matrices:
            for direction, along in DIRECTIONS.items():
                lines = values[f"{matrix}/{direction}"].astype(np.float32)
                for block, line in zip(self._blocks[matrix, along], lines, strict=True):
                    if along == 1:
                        spread[matrix][:, block] += line[:, None]
                    else:
                        spread[matrix][block] += line[None, :]
        return spread

    def masks(self, keep: Mapping[str, NDArray[np.bool_]]) -> dict[str, Array]:
        """1.0 where both lines of a weight stay."""
        both = self.spread({name: lines.astype(np.float32) for name, lines in keep.items()})
        for name in set(self._shapes).difference(self.matrices):
            both[name][:] = 2
        return {name: (count == 2).astype(np.float32) for name, count in both.items()}


def _blocks(found: list[Group], matrix: str, axis: int, size: int) -> Blocks:
    """Indices along an axis that belong to one head each, or all of them."""
    heads = [
        np.flatnonzero(tie.unit != NO_UNIT)
        for group in found
        for tie in group.ties
        if (tie.matrix, tie.axis) == (matrix, axis)
    ]
    covered = sum(indices.size for indices in heads) == size
    return heads if len(heads) > 1 and covered else [np.arange(size)]


def zero_lines(model: SequenceModel) -> dict[str, dict[str, float]]:
    """Share of lines without any weight on the matrix's integer grid, by matrix and direction."""
    structure = LineStructure(model.graph)
    stored = {m.name: np.abs(m.steps().numpy()) for m in model.matrices}
    shares: dict[str, dict[str, float]] = {name: {} for name in structure.matrices}
    for family, sums in structure.sums(stored).items():
        matrix, _, direction = family.rpartition("/")
        shares[matrix][direction] = float(np.mean(sums == 0))
    return shares


class LineCut:
    """Sharpens the contrast of groups of lines, then removes the weakest at once.

    Args:
        model: whose weights are pulled, and whose masks are set.
        sparsity: share of all these groups removed, by one threshold on their norms, each over the
            root mean square of its family.
        strength: see `Regularizer`.
        step: when they are removed.
    """

    def __init__(self, model: SequenceModel, sparsity: float, strength: float, step: int) -> None:
        self._model, self._sparsity, self._step = model, sparsity, step
        self._groups = line_groups(model.graph)
        self._structure = UnitStructure(model.graph.matrices(), self._groups)
        self._given = given_masks(model)
        self._pull = Regularizer(model, self._structure, "hoyer_square", strength, step)

    def before_step(self, step: int) -> None:
        """Pull, or cut if it is time."""
        self._pull.before_step(step)
        if step == self._step:
            energies = energies_of(self._model, self._structure, self._given)
            apply_choice(self._model, self._structure, self._keep(energies), self._given)

    def _keep(self, energies: Energies) -> dict[str, NDArray[np.bool_]]:
        norms = {
            name: np.sqrt(energy / (energy.mean() + EPSILON)) for name, energy in energies.items()
        }
        threshold = np.quantile(np.concatenate(list(norms.values())), self._sparsity)
        keep = {}
        for group in self._groups:
            # Heads keep equally many: as many as they would on average.
            heads = [other.name for other in self._groups if other.heads == group.heads]
            count = float(np.mean([np.sum(norms[name] > threshold) for name in heads]))
            chosen = np.zeros(group.units, bool)
            chosen[best(norms[group.name], count, len(heads))] = True
            keep[group.name] = chosen
        return keep
