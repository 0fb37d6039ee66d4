"""What stands and falls together: channels tied by the graph, and networks without some of them.

A channel that a matrix makes is a unit. Elementwise operators tie the channels of their inputs to
each other, a state to what it becomes; whoever reads a unit owns a row for it. So removing a unit
of a recurrent layer removes its columns, its biases, its recurrent rows and the rows with which the
next layer reads it. Channels tied to the network's input or output are nobody's.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.graph import HopGraph, Node
from pipeline.networks.trained import Trained

NO_UNIT = -1
UnitOf = NDArray[np.int64]
# The unit that stands for the outside.
_FIXED = 0


@dataclasses.dataclass(frozen=True)
class Tie:
    """The units of one group along one axis of one matrix.

    Attributes:
        matrix: its name.
        axis: 0 for rows (the matrix reads the units), 1 for columns (it makes them).
        unit: for every index of the axis the unit it belongs to, or `NO_UNIT`.
    """

    matrix: str
    axis: int
    unit: UnitOf


@dataclasses.dataclass(frozen=True)
class Group:
    """Units that occur in the same places.

    Attributes:
        name: of the first matrix that makes them.
        units: how many.
        ties: every place they occur.
        numbers: the units, ascending, as `Channels` numbers them.
    """

    name: str
    units: int
    ties: tuple[Tie, ...]
    numbers: UnitOf


class Channels:
    """The unit of every channel of every tensor."""

    def __init__(self, graph: HopGraph) -> None:
        self._parent = [_FIXED]
        self._of: dict[str, UnitOf] = {}
        places: list[tuple[str, int, UnitOf]] = []
        for node in graph.nodes:
            inputs = [self._of[name] for name in node.inputs]
            made = self._channels(graph, node, inputs)
            self._of[node.name] = made
            if node.matrix is not None:
                if node.op != "depthwise":
                    places.append((node.matrix, 0, np.tile(inputs[0], node.kernel)))
                places.append((node.matrix, 1, made))
        for state, becomes in graph.next_state:
            self._tie(self._of[state], self._of[becomes])
        self._tie(self._of[graph.output], np.full(graph[graph.output].channels, _FIXED))
        self.of = {name: self._roots(unit) for name, unit in self._of.items()}
        self.places = [(matrix, axis, self._roots(unit)) for matrix, axis, unit in places]

    def _channels(self, graph: HopGraph, node: Node, inputs: list[UnitOf]) -> UnitOf:
        if node.op == "input":
            return np.full(node.channels, _FIXED)
        if node.op in ("state", "product", "conv"):
            start = len(self._parent)
            self._parent.extend(range(start, start + node.channels))
            return np.arange(start, start + node.channels)
        if node.op == "concat":
            return np.concatenate(inputs)
        if node.op == "slice":
            return inputs[0][node.begin : node.begin + node.channels]
        if node.op == "delay":
            return np.tile(inputs[0], len(node.delays))
        if node.op == "reshape":
            whole = np.broadcast_to(inputs[0], graph[node.inputs[0]].shape)
            rows = whole.reshape(-1, node.channels)
            for row in rows[1:]:
                self._tie(rows[0], row)
            return rows[0]
        for other in inputs[1:]:
            self._tie(inputs[0], other)
        return inputs[0]

    def _root(self, unit: int) -> int:
        while self._parent[unit] != unit:
            self._parent[unit] = self._parent[self._parent[unit]]
            unit = self._parent[unit]
        return unit

    def _roots(self, units: UnitOf) -> UnitOf:
        return np.array([self._root(int(unit)) for unit in units], np.int64)

    def _tie(self, these: UnitOf, those: UnitOf) -> None:
        for a, b in zip(self._roots(these), self._roots(those), strict=True):
            low, high = sorted((self._root(int(a)), self._root(int(b))))
            self._parent[high] = low


def groups(graph: HopGraph) -> list[Group]:
    """Groups of a network, in the order in which matrices make them."""
    return _groups(Channels(graph))


def _groups(channels: Channels) -> list[Group]:
    occurs: dict[int, list[tuple[int, int]]] = {}
    for place, (_, _, unit) in enumerate(channels.places):
        for number, count in zip(*np.unique(unit, return_counts=True), strict=True):
            occurs.setdefault(int(number), []).append((place, int(count)))
    occurs.pop(_FIXED, None)
    together: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for number, places in occurs.items():
        together.setdefault(tuple(places), []).append(number)
    found = []
    taken: dict[str, int] = {}
    for where, members in together.items():
        numbers = np.array(sorted(members), np.int64)
        index = {int(number): k for k, number in enumerate(numbers)}
        ties = tuple(
            Tie(matrix, axis, np.array([index.get(int(u), NO_UNIT) for u in unit], np.int64))
            for matrix, axis, unit in (channels.places[place] for place, _ in where)
        )
        makers = [place for place, _ in where if channels.places[place][1] == 1]
        name = channels.places[makers[0]][0] if makers else ties[0].matrix
        taken[name] = taken.get(name, 0) + 1
        if taken[name] > 1:
            name = f"{name}.{taken[name]}"
        found.append(((*makers, where[0][0])[0], Group(name, numbers.size, ties, numbers)))
    return [group for _, group in sorted(found, key=lambda item: item[0])]


def keep_units(trained: Trained, chosen: dict[str, UnitOf]) -> Trained:
    """Keep the given units of each group, in the given order; a permutation only reorders.

    Args:
        trained: any network.
        chosen: unit numbers by group; a group that is not named stays as it is.

    Raises:
        InputError: a group would become empty; names it.
    """
    channels = Channels(trained.graph)
    arrays = dict(trained.arrays)
    gone: set[int] = set()
    index = {(matrix, axis): np.arange(unit.size) for matrix, axis, unit in channels.places}
    dropped = {place: np.zeros(positions.size, bool) for place, positions in index.items()}
    for group in _groups(channels):
        units = chosen.get(group.name)
        if units is None:
            continue
        if units.size == 0:
            raise InputError(f"group {group.name!r} would lose every unit; lower the target")
        absent = np.setdiff1d(np.arange(group.units), units)
        gone.update(int(number) for number in group.numbers[absent])
        for tie in group.ties:
            tied = np.flatnonzero(tie.unit != NO_UNIT)
            # Positions by unit and occurrence: [units, copies].
            places = tied[np.argsort(tie.unit[tied], kind="stable")].reshape(group.units, -1)
            index[tie.matrix, tie.axis][places[np.sort(units)]] = places[units]
            dropped[tie.matrix, tie.axis][places[absent]] = True
    for (matrix, axis), positions in index.items():
        kept = positions[~dropped[matrix, axis]]
        for part in ("kernel", "mask"):
            arrays[f"{matrix}/{part}"] = np.take(arrays[f"{matrix}/{part}"], kept, axis=axis)
        if axis == 1:
            arrays[f"{matrix}/bias"] = arrays[f"{matrix}/bias"][kept]
    return dataclasses.replace(
        trained, graph=_narrowed(trained.graph, channels, gone), arrays=arrays
    )


def _narrowed(graph: HopGraph, channels: Channels, gone: set[int]) -> HopGraph:
    """The graph without some units; every width follows."""
    alive = {
        name: np.array([int(u) not in gone for u in unit]) for name, unit in channels.of.items()
    }
    nodes = []
    for node in graph.nodes:
        shape = (*node.shape[:-1], int(alive[node.name].sum()))
        if node.op == "reshape":
            kept = np.broadcast_to(alive[node.inputs[0]], graph[node.inputs[0]].shape)
            shape = (*node.shape[:-1], int(kept.sum()) // int(np.prod(node.shape[:-1])))
        begin = int(alive[node.inputs[0]][: node.begin].sum()) if node.begin else 0
        nodes.append(dataclasses.replace(node, shape=shape, begin=begin))
    return graph.replace(nodes)


def remove_masked_units(trained: Trained) -> Trained:
    """Take out the units of which every tied weight is masked; the network computes the same."""
    chosen = {}
    for group in groups(trained.graph):
        alive = np.zeros(group.units, bool)
        for tie in group.ties:
            mask = trained.arrays[f"{tie.matrix}/mask"]
            line: NDArray[np.bool_] = np.any(mask, axis=1 - tie.axis)
            tied = tie.unit != NO_UNIT
            np.logical_or.at(alive, tie.unit[tied], line[tied])
        chosen[group.name] = np.flatnonzero(alive)
    return keep_units(trained, chosen)
