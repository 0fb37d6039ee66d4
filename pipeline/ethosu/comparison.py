"""The emulator's cycles beside Vela's estimate, layer by layer."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import vela
from .cost import OperationCost, ProgramCost
from .errors import ModelError
from .operations import BlockOperation


@dataclass(frozen=True)
class ComparedLayer:
    """One row of Vela's table and the operations it became, copies included.

    `cycles` is the time that this layer adds, by the emulator's model: from the end of the layer
    before it to its own, waiting for copies included; over all layers it sums up to the total.
    """

    estimate: vela.LayerCost
    operations: tuple[OperationCost, ...]
    cycles: int

    @property
    def difference(self) -> float:
        """Of the emulator's cycles from Vela's, as a share of the latter."""
        return self.cycles / self.estimate.cycles - 1 if self.estimate.cycles else math.inf


def compare_with_vela(
    cost: ProgramCost, layers: Sequence[vela.LayerCost], npu_operator: int = 0
) -> tuple[ComparedLayer, ...]:
    """Pair Vela's rows, less those fused into others, with the operations of its command stream.

    Args:
        cost: of one NPU operator's stream.
        layers: of the whole compiled model.
        npu_operator: which of the model's NPU operators `cost` is of, counted from 0.

    Raises:
        ModelError: rows and operations do not pair up: they come from different compilations.
    """
    ends = sorted(
        (offset, number)
        for number, layer in enumerate(layers)
        for where, offset in layer.places
        if where == npu_operator
    )
    offsets = {item.operation.command_offset for item in cost.operations}
    strays = [layers[number].name for offset, number in ends if offset not in offsets]
    if strays:
        raise ModelError(
            f"layer {strays[0]!r} ends at a command that the stream does not have; compare the "
            "table and the stream of one compilation"
        )
    operations: dict[int, list[OperationCost]] = {number: [] for _, number in ends}
    rows = iter(ends)
    end, row = next(rows, (-1, -1))
    for item in cost.operations:
        while item.operation.command_offset > end:
            end, row = next(rows, (sys.maxsize, -1))
        if row < 0:
            raise ModelError(
                f"{item.operation.command} at byte {item.operation.command_offset} of the stream "
                "is in no row of Vela's table; compare the table and the stream of one compilation"
            )
        operations[row].append(item)
    cycles = _added_cycles(operations)
    return tuple(
        ComparedLayer(layers[row], tuple(operations[row]), cycles[row])
        for row in sorted(operations)
    )


def _added_cycles(operations: Mapping[int, Sequence[OperationCost]]) -> dict[int, int]:
    """What each row adds to the time at which all before it are finished.

    A copy ends a row only if the row is nothing but copies: others run ahead for later rows.
    """
    ends = []
    for row, items in operations.items():
        blocks = [item for item in items if isinstance(item.operation, BlockOperation)]
        ends += [(item.start_cycle + item.cycles, row) for item in blocks or items]
    cycles, finished = dict.fromkeys(operations, 0), 0
    for end, row in sorted(ends):
        cycles[row] += end - finished
        finished = end
    return cycles
