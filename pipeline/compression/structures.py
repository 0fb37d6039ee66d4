"""What is removed together: a single weight, a block of a matrix, or a unit with all it is tied to.

A structure sees matrices as named arrays, and nothing of the network but which rows and columns
belong to which unit. It divides them into families of groups (a matrix's weights or blocks, a
layer's units), gives every group an energy, and turns a choice of groups into masks.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.networks.groups import NO_UNIT, Group

Array = NDArray[np.float32]
Energies = dict[str, NDArray[np.float64]]
Keep = Mapping[str, NDArray[np.bool_]]

# The NPU computes outputs in eights; a layer of 101 units costs as much as one of 104.
UNIT_MULTIPLE = 8


class Structure(Protocol):
    """One way of removing weights together."""

    multiple: int
    """Groups of one family are kept in whole multiples of this."""

    def sums(self, values: Mapping[str, NDArray]) -> Energies:
        """Add up one value a weight within every group.

        Args:
            values: ``[inputs, outputs]`` by matrix; squared weights give energies.

        Returns:
            One array of groups by family.
        """

    def spread(self, values: Mapping[str, NDArray]) -> dict[str, Array]:
        """Give every weight the sum of its groups' values: the adjoint of `sums`."""

    def masks(self, keep: Keep) -> dict[str, Array]:
        """Masks of the matrices, 1.0 where all groups of a weight stay."""


class WeightStructure:
    """Every weight by itself."""

    multiple = 1

    def __init__(self, shapes: Mapping[str, tuple[int, int]]) -> None:
        self._shapes = shapes

    def sums(self, values: Mapping[str, NDArray]) -> Energies:
        """See `Structure`."""
        return {name: np.asarray(values[name], np.float64) for name in self._shapes}

    def spread(self, values: Mapping[str, NDArray]) -> dict[str, Array]:
        """See `Structure`."""
        return {name: values[name].astype(np.float32) for name in self._shapes}

    masks = spread


class BlockStructure:
    """Tiles of ``rows`` inputs by ``columns`` outputs, as TF-MOT's ``block_size`` counts them.

    Raises:
        InputError: a matrix is not a whole number of blocks; names it and the sizes that fit.
    """

    multiple = 1

    def __init__(self, shapes: Mapping[str, tuple[int, int]], rows: int, columns: int) -> None:
        for name, shape in shapes.items():
            if shape[0] % rows or shape[1] % columns:
                raise InputError(
                    f"matrix {name!r} of {shape[0]} x {shape[1]} is not a whole number of "
                    f"{rows} x {columns} blocks; choose divisors of {shape[0]} and {shape[1]}"
                )
        self._shapes, self._rows, self._columns = shapes, rows, columns

    def sums(self, values: Mapping[str, NDArray]) -> Energies:
        """See `Structure`."""
        return {
            name: np.asarray(values[name], np.float64)
            .reshape(shape[0] // self._rows, self._rows, shape[1] // self._columns, self._columns)
            .sum(axis=(1, 3))
            for name, shape in self._shapes.items()
        }

    def spread(self, values: Mapping[str, NDArray]) -> dict[str, Array]:
        """See `Structure`."""
        tile = np.ones((self._rows, self._columns), np.float32)
        return {name: np.kron(values[name].astype(np.float32), tile) for name in self._shapes}

    masks = spread


class UnitStructure:
    """A unit with its columns, its recurrent rows and the rows of whoever reads it.

    The energy of a unit is the sum over every weight tied to it, so a recurrent weight counts for
    both units it joins.
    """

    multiple = UNIT_MULTIPLE

    def __init__(self, shapes: Mapping[str, tuple[int, int]], groups: list[Group]) -> None:
        self._shapes, self._groups = shapes, groups

    def sums(self, values: Mapping[str, NDArray]) -> Energies:
        """See `Structure`."""
        energies = {}
        for group in self._groups:
            total = np.zeros(group.units)
            for tie in group.ties:
                line = np.asarray(values[tie.matrix], np.float64).sum(axis=1 - tie.axis)
                tied = tie.unit != NO_UNIT
                np.add.at(total, tie.unit[tied], line[tied])
            energies[group.name] = total
        return energies

    def spread(self, values: Mapping[str, NDArray]) -> dict[str, Array]:
        """See `Structure`."""
        spread = {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}
        for matrix, line in self._lines(values, untied=0.0):
            spread[matrix] += line
        return spread

    def masks(self, keep: Keep) -> dict[str, Array]:
        """See `Structure`."""
        masks = {name: np.ones(shape, np.float32) for name, shape in self._shapes.items()}
        for matrix, line in self._lines(keep, untied=1.0):
            masks[matrix] *= line
        return masks

    def _lines(self, values: Mapping[str, NDArray], untied: float) -> Iterator[tuple[str, Array]]:
        """Each tie's values along its axis, ready to broadcast over the matrix."""
        for group in self._groups:
            for tie in group.ties:
                line = np.where(tie.unit == NO_UNIT, untied, values[group.name][tie.unit])
                yield tie.matrix, np.expand_dims(line.astype(np.float32), 1 - tie.axis)
