"""The unit of every channel of every tensor of a graph, found by union over its nodes.

Most tensors have units along their channels alone. Attention moves them: heads cut the channels
into rows of which each has units of its own, a transpose puts them on another axis, and a product
of two activations ties the channels it sums over, queries to keys, while those of the values go
through. So units lie on axes, and may differ between the places of other axes.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.networks.graph import WITH_MATRIX, HopGraph, Node, Shape

UnitOf = NDArray[np.int64]
# The unit that stands for the outside.
FIXED = 0


@dataclasses.dataclass(frozen=True)
class AxisUnits:
    """Units along one axis of a tensor.

    Attributes:
        across: other axes, ascending, between whose places the units differ.
        units: ``[*across, size]``.
    """

    across: tuple[int, ...]
    units: UnitOf

    @property
    def rows(self) -> UnitOf:
        """``[places, size]``"""
        return self.units.reshape(-1, self.units.shape[-1])


# By axis; an axis that is not there has nothing that could be removed.
Axes = dict[int, AxisUnits]


class Channels:
    """The units of a graph.

    Attributes:
        of: by tensor.
        places: matrix, axis (0 for rows, which read units, 1 for columns, which make them) and the
            unit of every index.
    """

    def __init__(self, graph: HopGraph) -> None:
        self._parent = [FIXED]
        self._graph = graph
        self._shown = _not_zero_without_weights(graph)
        self._of: dict[str, Axes] = {}
        places: list[tuple[str, int, UnitOf]] = []
        for node in graph.nodes:
            inputs = [self._of[name] for name in node.inputs]
            made = self._of[node.name] = self._axes(node, inputs)
            if node.matrix is not None:
                columns = self._along(made, node.shape, len(node.shape) - 1)
                if node.op != "depthwise":
                    read = graph[node.inputs[0]].shape
                    rows = self._along(inputs[0], read, len(read) - 1)
                    places.append((node.matrix, 0, np.tile(rows, node.kernel)))
                places.append((node.matrix, 1, columns))
        for state, becomes in graph.next_state:
            self._tie_all(self._of[state], self._of[becomes], graph[state].shape)
        self._fix(self._of[graph.output].values())
        if graph.gate is not None:
            self._fix(self._of[graph.gate].values())
        self.of = {name: self._settled(axes) for name, axes in self._of.items()}
        self.places = [(matrix, axis, self._roots(unit)) for matrix, axis, unit in places]

    def sets(self) -> dict[int, frozenset[int]]:
        """By unit the rows it lies in, where rows are to keep equally many units (heads)."""
        found: dict[int, set[int]] = {}
        for axes in self.of.values():
            for axis in axes.values():
                rows = np.unique(axis.rows, axis=0)
                for row in rows if len(rows) > 1 else ():
                    for unit in row:
                        found.setdefault(int(unit), set()).add(int(row.min()))
        return {unit: frozenset(rows) for unit, rows in found.items()}

    def _axes(self, node: Node, x: list[Axes]) -> Axes:
        shapes = [self._graph[name].shape for name in node.inputs]
        last = len(node.shape) - 1
        if node.op == "input":
            return {}
        if node.op == "state":
            return {last: self._fresh(node.channels)}
        if node.op == "product":
            others = {axis: self._within(u, range(last)) for axis, u in x[0].items()}
            return others | {last: self._fresh(node.channels)}
        if node.op in ("conv", "depthwise"):
            self._fix(x[0][axis] for axis in x[0] if axis == 0)
            if node.op == "conv" and last > 1:
                # Each place of the middle axis by itself: its units go through, and stay the only.
                return {1: self._within(x[0][1], ())} if 1 in x[0] else {}
            if node.op == "conv":
                return {last: self._fresh(node.channels)}
            hops = self._along(x[0], shapes[0], last).reshape(-1, node.channels)
            return {last: self._within(AxisUnits((0,), hops), ())}
        if node.op == "concat":
            return self._joined(x, shapes)
        if node.op == "delay":
            return self._joined(x * len(node.delays), shapes * len(node.delays))
        if node.op == "slice":
            return self._sliced(node, x[0])
        if node.op == "transpose":
            return {node.order.index(axis): _transposed(u, node.order) for axis, u in x[0].items()}
        if node.op == "reshape":
            return self._reshaped(x[0], shapes[0], node.shape)
        if node.op == "softmax":
            # A channel that is masked still has its share of the sum.
            self._fix(x[0][axis] for axis in x[0] if axis == last)
            return {a: self._within(u, range(last)) for a, u in x[0].items() if a != last}
        if node.op == "mean":
            self._fix(x[0][axis] for axis in x[0] if axis == 0)
            return {a - 1: self._within(u, ()) for a, u in x[0].items() if a != 0}
        if node.op == "matmul":
            return self._multiplied(node, x[0], x[1], shapes[0])
        for other, shape in zip(x[1:], shapes[1:], strict=True):
            missing = len(node.shape) - len(shape)
            spread = [a for a in other if shape[a] < node.shape[missing + a]]
            self._fix(other[axis] for axis in spread)
            placed = {missing + a: u for a, u in other.items() if a not in spread}
            rows = {a: self._within(u, ()) for a, u in placed.items()}
            self._tie_all(x[0], placed if shape == node.shape else rows, node.shape)
        return x[0]

    def _joined(self, x: Sequence[Axes], shapes: Sequence[Shape]) -> Axes:
        """Side by side in the last axis."""
        last = len(shapes[0]) - 1
        others = [{a: self._within(u, range(last)) for a, u in y.items() if a != last} for y in x]
        for other in others[1:]:
            self._tie_all(others[0], other, shapes[0])
        parts = [y.get(last, _outside(s[last])) for y, s in zip(x, shapes, strict=True)]
        across = tuple(sorted({axis for part in parts for axis in part.across}))
        whole = [_spread(part, across, s) for part, s in zip(parts, shapes, strict=True)]
        return others[0] | {last: AxisUnits(across, np.concatenate(whole, axis=-1))}

    def _sliced(self, node: Node, x: Axes) -> Axes:
        last = len(node.shape) - 1
        axes = {axis: self._within(u, range(last)) for axis, u in x.items()}
        if last in x:
            cut = x[last].units[..., node.begin : node.begin + node.channels]
            axes[last] = AxisUnits(x[last].across, cut)
        return axes

    def _reshaped(self, x: Axes, old: Shape, new: Shape) -> Axes:
        axes: Axes = {}
        for before, after in _aligned(old, new):
            here = {axis: units for axis, units in x.items() if axis in before}
            kept = {axis: self._within(units, before) for axis, units in here.items()}
            if len(kept) > 1:
                self._fix(kept.values())
            elif kept:
                ((axis, units),) = kept.items()
                others = [a for a in before if a != axis]
                every = _spread(units, tuple(others), old)
                every = np.moveaxis(every, -1, before.index(axis))
                made = every.reshape([new[a] for a in after])
                axes[after[-1]] = self._compact(AxisUnits(tuple(after[:-1]), made))
        return axes

    def _multiplied(self, node: Node, a: Axes, b: Axes, shape: Shape) -> Axes:
        last = len(shape) - 1
        heads = range(last - 1)
        depth, columns = (last, last - 1) if node.transposed else (last - 1, last)
        summed = [
            self._within(axes.get(axis, _outside(shape[last])), heads)
            for axes, axis in ((a, last), (b, depth))
        ]
        self._tie(summed[0], summed[1], shape)
        if self._shown.issuperset(node.inputs):
            self._fix(summed)
        kept = {axis: self._within(a[axis], heads) for axis in a if axis != last}
        for axis in heads:
            self._tie_axis(a, b, axis, shape)
        if columns in b:
            kept[last] = self._within(b[columns], heads)
        return kept

    def _fresh(self, size: int) -> AxisUnits:
        start = len(self._parent)
        self._parent.extend(range(start, start + size))
        return AxisUnits((), np.arange(start, start + size))

    def _along(self, axes: Axes, shape: Shape, axis: int) -> UnitOf:
        """One unit for every index of an axis, the same in all places."""
        return self._within(axes.get(axis, _outside(shape[axis])), ()).units

    def _within(self, axis: AxisUnits, allowed: Iterable[int]) -> AxisUnits:
        """The units, tied so that they differ between places of the allowed axes alone."""
        allowed = tuple(allowed)
        across, units = list(axis.across), axis.units
        for k in reversed(range(len(across))):
            if across[k] not in allowed:
                first, *rest = np.moveaxis(units, k, 0)
                for other in rest:
                    self._unite(first, other)
                units = first
                del across[k]
        return AxisUnits(tuple(across), units)

    def _compact(self, axis: AxisUnits) -> AxisUnits:
        """Without the axes between whose places nothing differs."""
        across, units = list(axis.across), self._roots(axis.units)
        for k in reversed(range(len(across))):
            first = np.take(units, 0, axis=k)
            if (units == np.expand_dims(first, k)).all():
                units = first
                del across[k]
        return AxisUnits(tuple(across), units)

    def _tie_all(self, a: Axes, b: Axes, shape: Shape) -> None:
        """The same units in two tensors of one shape."""
        for axis in sorted(a.keys() | b.keys()):
            self._tie_axis(a, b, axis, shape)

    def _tie_axis(self, a: Axes, b: Axes, axis: int, shape: Shape) -> None:
        if axis in a or axis in b:
            outside = _outside(shape[axis])
            self._tie(a.get(axis, outside), b.get(axis, outside), shape)

    def _tie(self, a: AxisUnits, b: AxisUnits, shape: Shape) -> None:
        across = tuple(sorted({*a.across, *b.across}))
        self._unite(*(_spread(units, across, shape) for units in (a, b)))

    def _fix(self, axes: Iterable[AxisUnits]) -> None:
        for axis in axes:
            self._unite(axis.units, np.zeros_like(axis.units))

    def _root(self, unit: int) -> int:
        while self._parent[unit] != unit:
            self._parent[unit] = self._parent[self._parent[unit]]
            unit = self._parent[unit]
        return unit

    def _roots(self, units: UnitOf) -> UnitOf:
        different, where = np.unique(units, return_inverse=True)
        roots = np.array([self._root(int(unit)) for unit in different], np.int64)
        return roots[where].reshape(units.shape)

    def _unite(self, these: UnitOf, those: UnitOf) -> None:
        pairs = np.unique(np.stack([these.ravel(), those.ravel()]), axis=1)
        for a, b in pairs.T:
            low, high = sorted((self._root(int(a)), self._root(int(b))))
            self._parent[high] = low

    def _settled(self, axes: Axes) -> Axes:
        """With the units' last numbers."""
        return {axis: self._compact(units) for axis, units in axes.items()}


def _not_zero_without_weights(graph: HopGraph) -> frozenset[str]:
    """Tensors whose values are not zero where all weights behind them are."""
    shown: set[str] = set()
    for node in graph.nodes:
        inputs = [name in shown for name in node.inputs]
        if node.op in ("sigmoid", "softmax") or (
            node.op not in WITH_MATRIX
            and (all(inputs) and bool(inputs) if node.op in ("mul", "matmul") else any(inputs))
        ):
            shown.add(node.name)
    return frozenset(shown)


def _outside(size: int) -> AxisUnits:
    return AxisUnits((), np.full(size, FIXED, np.int64))


def _spread(axis: AxisUnits, across: tuple[int, ...], shape: Shape) -> UnitOf:
    """The units for every place of more axes: ``[*across, size]``."""
    units, size = axis.units, axis.units.shape[-1]
    for k, other in enumerate(across):
        if other not in axis.across:
            units = np.expand_dims(units, k)
    return np.broadcast_to(units, (*(shape[other] for other in across), size))


def _transposed(axis: AxisUnits, order: tuple[int, ...]) -> AxisUnits:
    moved = [order.index(other) for other in axis.across]
    places = np.argsort(moved)
    units = np.transpose(axis.units, (*places, len(moved)))
    return AxisUnits(tuple(sorted(moved)), units)


def _aligned(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Runs of axes that a reshape turns into each other, as short as they can be."""
    runs, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        before, after = [i], [j]
        have, want = old[i], new[j]
        while have != want:
            if have < want:
                before.append(before[-1] + 1)
                have *= old[before[-1]]
            else:
                after.append(after[-1] + 1)
                want *= new[after[-1]]
        i, j = before[-1] + 1, after[-1] + 1
        if i == len(old) or j == len(new):
            # What is left are axes of one place.
            before += range(i, len(old))
            after += range(j, len(new))
            i, j = len(old), len(new)
        runs.append((before, after))
    return runs
