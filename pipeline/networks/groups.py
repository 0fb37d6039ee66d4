"""What stands and falls together: channels tied by the graph, and networks without some of them.

A channel that a matrix makes is a unit. Elementwise operators tie the channels of their inputs to
each other, a state to what it becomes; whoever reads a unit owns a row for it. So removing a unit
of a recurrent layer removes its columns, its biases, its recurrent rows and the rows with which the
next layer reads it; removing one of a query removes the key's it is multiplied with. Channels tied
to the network's input or output are nobody's.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.channels import FIXED, AxisUnits, Channels, UnitOf
from pipeline.networks.graph import HopGraph, Node
from pipeline.networks.trained import Trained

NO_UNIT = -1


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
        heads: the same for all groups that lose equally many units, as the heads of one attention.
    """

    name: str
    units: int
    ties: tuple[Tie, ...]
    numbers: UnitOf
    heads: str


def groups(graph: HopGraph) -> list[Group]:
    """Groups of a network, in the order in which matrices make them."""
    return _groups(Channels(graph))


def _groups(channels: Channels) -> list[Group]:
    occurs: dict[int, list[tuple[int, int]]] = {}
    for place, (_, _, unit) in enumerate(channels.places):
        for number, count in zip(*np.unique(unit, return_counts=True), strict=True):
            occurs.setdefault(int(number), []).append((place, int(count)))
    occurs.pop(FIXED, None)
    sets = channels.sets()
    together: dict[tuple[tuple[tuple[int, int], ...], frozenset[int]], list[int]] = {}
    for number, places in occurs.items():
        together.setdefault((tuple(places), sets.get(number, frozenset())), []).append(number)
    found = []
    taken: dict[str, int] = {}
    heads: dict[tuple[tuple[int, int], ...], str] = {}
    for (where, _), members in together.items():
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
        group = Group(name, numbers.size, ties, numbers, heads.setdefault(where, name))
        found.append(((*makers, where[0][0])[0], group))
    return [group for _, group in sorted(found, key=lambda item: item[0])]


def keep_units(trained: Trained, chosen: dict[str, UnitOf]) -> Trained:
    """Keep the given units of each group, in the given order; a permutation only reorders.

    Args:
        trained: any network.
        chosen: unit numbers by group; a group that is not named stays as it is. Groups of one head
            that are all to be empty go with that head.

    Raises:
        InputError: nothing would be left of a group and of those of other heads, or heads would
            lose unequally many; names it.
    """
    channels = Channels(trained.graph)
    arrays = dict(trained.arrays)
    gone: set[int] = set()
    index = {(matrix, axis): np.arange(unit.size) for matrix, axis, unit in channels.places}
    dropped = {place: np.zeros(positions.size, bool) for place, positions in index.items()}
    lost_by_heads: dict[str, int] = {}
    found = _groups(channels)
    left = {group.heads: group for group in found if chosen.get(group.name, group.numbers).size}
    for group in found:
        units = chosen.get(group.name)
        if group.heads not in left:
            raise InputError(f"group {group.name!r} would lose every unit; lower the target")
        lost = 0 if units is None else group.units - units.size
        if lost < group.units and lost_by_heads.setdefault(group.heads, lost) != lost:
            raise InputError(
                f"group {group.name!r} would lose {lost} units and {group.heads!r}, a head beside "
                f"it, {lost_by_heads[group.heads]}; choose the same number"
            )
        if units is None:
            continue
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
    """The graph without some units, and without heads that have none left; every width follows."""
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        shape = list(node.shape)
        for axis, units in channels.of[node.name].items():
            shape[axis] = int(_alive(units, gone).sum())
            if len(units.across) == 1:
                shape[units.across[0]] = sum(bool(set(row.tolist()) - gone) for row in units.rows)
        if node.op in ("matmul", "softmax") and len(shape) == 3:
            # Scores have no units, but as many heads as what they are made of.
            shape[0] = nodes[node.inputs[0]].shape[0]
        begin = node.begin
        if node.op == "slice" and len(node.shape) - 1 in channels.of[node.inputs[0]]:
            read = channels.of[node.inputs[0]][len(node.shape) - 1]
            begin = int(_alive(read, gone)[: node.begin].sum())
        nodes[node.name] = dataclasses.replace(node, shape=tuple(shape), begin=begin)
    return graph.replace(list(nodes.values()))


def _alive(axis: AxisUnits, gone: set[int]) -> NDArray[np.bool_]:
    """What stays of an axis, in the first of the places it differs between that has some left."""
    rows = [np.array([int(unit) not in gone for unit in row]) for row in axis.rows]
    return next((row for row in rows if row.any()), rows[0])


def remove_masked_units(trained: Trained) -> Trained:
    """Take out the units of which every tied weight is masked; the network computes the same."""
    found, chosen = groups(trained.graph), {}
    for group in found:
        alive = np.zeros(group.units, bool)
        for tie in group.ties:
            mask = trained.arrays[f"{tie.matrix}/mask"]
            line: NDArray[np.bool_] = np.any(mask, axis=1 - tie.axis)
            tied = tie.unit != NO_UNIT
            np.logical_or.at(alive, tie.unit[tied], line[tied])
        chosen[group.name] = alive
    return keep_units(trained, _as_many_each(found, chosen))


def _as_many_each(found: list[Group], alive: dict[str, NDArray[np.bool_]]) -> dict[str, UnitOf]:
    """Units to keep: those alive, and the first of the others where another head loses fewer."""
    lost: dict[str, int] = {}
    for group in found:
        dead = int((~alive[group.name]).sum())
        lost[group.heads] = min(lost.get(group.heads, dead), dead)
    return {
        group.name: np.sort(
            np.argsort(~alive[group.name], kind="stable")[: group.units - lost[group.heads]]
        )
        for group in found
    }
