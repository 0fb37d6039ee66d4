"""Which weights stand and fall with a unit, and networks without some of their units.

A unit is graph-connected: removing LSTM unit j removes column j of its four gates with their
biases, row j of its recurrent weights, and the row with which the next layer reads it. A unit of
the ReLU layer owns its column, its bias and its row of the mask layer, and a column of a recurrent
layer's basis, if it has one, its rows of gates and candidate. Bands, the network's input and
output, are not units.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Model
from pipeline.errors import InputError
from pipeline.models.weights import Weights

NO_UNIT = -1
GATES = 3
UnitOf = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Tie:
    """The units of one layer along one axis of one matrix.

    Attributes:
        matrix: its name.
        axis: 0 for rows (the matrix reads the units), 1 for columns (it makes them).
        unit: for every index of the axis the unit it belongs to, or `NO_UNIT`.
    """

    matrix: str
    axis: int
    unit: UnitOf


@dataclasses.dataclass(frozen=True)
class UnitLayer:
    """A layer of removable units and every place they occur."""

    name: str
    units: int
    ties: tuple[Tie, ...]


def unit_layers(model: Model) -> list[UnitLayer]:
    """Layers of a network of this size, from input to output."""
    layers = []
    for k, (units, rank) in enumerate(zip(model.lstm_units, model.ranks, strict=True), start=1):
        inputs = model.lstm_units[k - 2] if k > 1 else model.bands
        made = (f"lstm{k}_gates", f"lstm{k}_candidate")
        own = np.arange(units)
        ties = [Tie(made[0], 1, np.tile(own, GATES)), Tie(made[1], 1, own)]
        recurrent = np.concatenate([np.full(inputs, NO_UNIT), own])
        ties += [Tie(reader, 0, recurrent) for reader in _readers(model, k)]
        if k < len(model.lstm_units):
            above = np.concatenate([own, np.full(model.lstm_units[k], NO_UNIT)])
            ties += [Tie(reader, 0, above) for reader in _readers(model, k + 1)]
        else:
            ties.append(Tie("dense", 0, own))
        if rank:
            basis = np.arange(rank)
            columns = Tie(f"lstm{k}_basis", 1, basis)
            layers.append(
                UnitLayer(f"lstm{k}_basis", rank, (columns, *(Tie(m, 0, basis) for m in made)))
            )
        layers.append(UnitLayer(f"lstm{k}", units, tuple(ties)))
    own = np.arange(model.dense_units)
    layers.append(
        UnitLayer("dense", model.dense_units, (Tie("dense", 1, own), Tie("mask", 0, own)))
    )
    return layers


def _readers(model: Model, k: int) -> tuple[str, ...]:
    """What multiplies the input and the state of recurrent layer ``k``."""
    if model.ranks[k - 1]:
        return (f"lstm{k}_basis",)
    return (f"lstm{k}_gates", f"lstm{k}_candidate")


def select_units(weights: Weights, chosen: dict[str, UnitOf]) -> Weights:
    """Keep the given units of each layer, in the given order; a permutation only reorders.

    Args:
        weights: any network.
        chosen: unit numbers by layer name; a layer that is not named stays as it is.

    Raises:
        InputError: a layer would become empty; names it.
    """
    for name, units in chosen.items():
        weights = _select(weights, name, units)
    return weights


def remove_masked_units(weights: Weights) -> Weights:
    """Take out the units of which every tied weight is masked; the network computes the same."""
    chosen = {}
    for layer in unit_layers(weights.model):
        alive = np.zeros(layer.units, bool)
        for tie in layer.ties:
            line: NDArray[np.bool_] = np.any(
                weights.arrays[f"{tie.matrix}/mask"], axis=1 - tie.axis
            )
            tied = tie.unit != NO_UNIT
            np.logical_or.at(alive, tie.unit[tied], line[tied])
        chosen[layer.name] = np.flatnonzero(alive)
    return select_units(weights, chosen)


def _select(weights: Weights, name: str, units: UnitOf) -> Weights:
    layer = next(layer for layer in unit_layers(weights.model) if layer.name == name)
    if units.size == 0:
        raise InputError(f"layer {name!r} would lose every unit; lower the target")
    arrays = dict(weights.arrays)
    for tie in layer.ties:
        index = _positions(tie.unit, units)
        for part in ("kernel", "mask"):
            key = f"{tie.matrix}/{part}"
            arrays[key] = np.take(arrays[key], index, axis=tie.axis)
        if tie.axis == 1:
            arrays[f"{tie.matrix}/bias"] = arrays[f"{tie.matrix}/bias"][index]
    sizes = {layer.name: layer.units for layer in unit_layers(weights.model)} | {name: units.size}
    numbers = range(1, len(weights.model.lstm_units) + 1)
    model = Model(
        bands=weights.model.bands,
        lstm_units=tuple(int(sizes[f"lstm{k}"]) for k in numbers),
        dense_units=int(sizes["dense"]),
        lstm_ranks=tuple(int(sizes.get(f"lstm{k}_basis", 0)) for k in numbers),
    )
    return dataclasses.replace(weights, model=model, arrays=arrays)


def _positions(unit: UnitOf, chosen: UnitOf) -> UnitOf:
    """Indices of an axis after selection: untied ones in place, then each unit in each copy."""
    untied = np.flatnonzero(unit == NO_UNIT)
    tied = np.flatnonzero(unit != NO_UNIT)
    if tied.size == 0:
        return untied
    copies = tied.reshape(-1, unit.max() + 1)
    selected = copies[:, chosen].ravel()
    untied_first = untied.size == 0 or untied[0] < tied[0]
    return np.concatenate([untied, selected] if untied_first else [selected, untied])
