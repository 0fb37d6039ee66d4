"""An order of units in which surviving blocks lie side by side.

The order of units inside a network is free. Block sparsity leaves the non-zero weights of an output
scattered over its inputs, while a smaller product can only read a window of neighbours, so units
are reordered until the windows are narrow. They move in tiles of as many units as the NPU makes at
once, which keeps blocks whole.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.lowering.windows import COST, OUTPUT_TILE
from pipeline.networks.groups import NO_UNIT, Group, groups, keep_units
from pipeline.networks.trained import Trained

TRIALS = 3_000
# Matrices at least this full have nothing to gain; searching would only shuffle them.
FULL = 0.9

Occupied = NDArray[np.bool_]


@dataclasses.dataclass
class _Axis:
    """Where a group's tiles lie along one axis of one matrix: ``[copies, tiles]`` positions."""

    matrix: str
    axis: int
    positions: NDArray[np.int64]


def narrow_windows(trained: Trained, seed: int = 0) -> Trained:
    """Reorder units so that the non-zero blocks of each output lie in a narrow window of inputs.

    Swaps two tiles of a group at a time and keeps what does not widen the windows. Groups that do
    not lie in whole tiles, and networks without empty tiles, are left as they are.

    Args:
        trained: a masked network.
        seed: of the search.

    Returns:
        A network that computes the same masks from the same features.
    """
    occupied = {
        name.removesuffix("/mask"): _tiles(mask)
        for name, mask in trained.arrays.items()
        if name.endswith("/mask")
    }
    if np.mean(np.concatenate([tiles.ravel() for tiles in occupied.values()])) > FULL:
        return trained
    movable = [group for group in groups(trained.graph) if _in_tiles(group)]
    if not movable:
        return trained
    axes = {group.name: _axes(group) for group in movable}
    order = {group.name: np.arange(group.units // OUTPUT_TILE) for group in movable}
    random = np.random.default_rng(seed)
    cost = {name: _cycles(tiles) for name, tiles in occupied.items()}
    for _ in range(TRIALS):
        group = movable[random.integers(len(movable))]
        a, b = random.integers(order[group.name].size, size=2)
        touched = {axis.matrix for axis in axes[group.name]}
        trial = {name: occupied[name].copy() for name in touched}
        for axis in axes[group.name]:
            _swap(trial[axis.matrix], axis, int(a), int(b))
        trial_cost = {name: _cycles(tiles) for name, tiles in trial.items()}
        if sum(trial_cost.values()) <= sum(cost[name] for name in touched):
            occupied |= trial
            cost |= trial_cost
            tiles = order[group.name]
            tiles[[a, b]] = tiles[[b, a]]
    return keep_units(
        trained,
        {
            name: (tiles[:, None] * OUTPUT_TILE + np.arange(OUTPUT_TILE)).ravel()
            for name, tiles in order.items()
        },
    )


def _tiles(mask: NDArray[np.float32]) -> Occupied:
    """Whether each tile of a ``[inputs, outputs]`` mask has a weight left."""
    rows, columns = (-(-size // OUTPUT_TILE) for size in mask.shape)
    padded = np.zeros((rows * OUTPUT_TILE, columns * OUTPUT_TILE), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask != 0
    return np.asarray(padded.reshape(rows, OUTPUT_TILE, columns, OUTPUT_TILE).any(axis=(1, 3)))


def _in_tiles(group: Group) -> bool:
    """Whether every tile of every axis holds neighbouring units of the group, or none."""
    positions = [(tie.unit, np.flatnonzero(tie.unit != NO_UNIT)) for tie in group.ties]
    aligned = all((unit[p] % OUTPUT_TILE == p % OUTPUT_TILE).all() for unit, p in positions)
    return aligned and group.units % OUTPUT_TILE == 0


def _axes(group: Group) -> list[_Axis]:
    """The group's ties, counted in tiles."""
    axes = []
    for tie in group.ties:
        first = tie.unit[::OUTPUT_TILE]
        tied = np.flatnonzero(first != NO_UNIT)
        axes.append(_Axis(tie.matrix, tie.axis, tied.reshape(-1, group.units // OUTPUT_TILE)))
    return axes


def _swap(tiles: Occupied, axis: _Axis, a: int, b: int) -> None:
    there, back = axis.positions[:, [a, b]].ravel(), axis.positions[:, [b, a]].ravel()
    if axis.axis == 0:
        tiles[there] = tiles[back]
    else:
        tiles[:, there] = tiles[:, back]


def _cycles(tiles: Occupied) -> float:
    """Cycles spent on inputs if each tile of outputs reads its own window."""
    used = tiles.any(axis=0)
    first = tiles.argmax(axis=0)
    last = tiles.shape[0] - 1 - tiles[::-1].argmax(axis=0)
    width = np.where(used, last - first + 1, 0) * OUTPUT_TILE
    # Half a tile saved is half a chance of saving a whole one, so the search sees a slope.
    return float(np.sum(width / COST.input_tile) * COST.input_tile_cycles * OUTPUT_TILE)
