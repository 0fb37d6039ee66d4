"""The emulator's cycles beside Vela's estimate, layer by layer.

python -m pipeline.ethosu.comparison tflite_models/*.tflite --memory-mode Sram_Only
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import vela
from .cost import OperationCost, ProgramCost
from .emulator import Emulator
from .errors import EthosUError, ModelError
from .memory_system import memory_system
from .model import load_vela_model
from .operations import BlockOperation

WORTH_EXPLAINING = 0.10
"""Relative difference above which a layer is marked."""
_EXPLANATIONS = {
    "Transpose": "Vela counts the bytes it moves; the stream moves them through 1 x 1 poolings, "
    "whose steps in the array are counted here (docs/ethosu.md)",
}


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


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 1 on bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.ethosu.comparison",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", type=Path, nargs="+", help="uncompiled .tflite files")
    parser.add_argument("--accelerator", default="ethos-u55-128")
    parser.add_argument("--system-config", default="Ethos_U55_High_End_Embedded")
    parser.add_argument("--memory-mode", default="Shared_Sram")
    options = parser.parse_args(arguments)
    for path in options.models:
        try:
            lines = list(_table(path, options))
        except (EthosUError, OSError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print("\n".join(lines))
    return 0


def _table(path: Path, options: argparse.Namespace) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as scratch:
        compiled = vela.compile(
            path,
            Path(scratch),
            options.accelerator,
            options.system_config,
            options.memory_mode,
        )
        emulator = Emulator(load_vela_model(compiled.path))
    cost = emulator.cost(memory_system(options.system_config, options.memory_mode))
    yield f"{path.stem}, {compiled.accelerator}, {compiled.system_config}/{compiled.memory_mode}"
    yield f"{'layer':24s}{'operation':20s}{'vela':>10s}{'emulator':>10s}{'difference':>12s}"
    marked = set()
    for row in compare_with_vela(cost, compiled.layers):
        mark = ""
        if abs(row.difference) > WORTH_EXPLAINING:
            mark = " *"
            marked.add(row.estimate.npu_operator)
        yield (
            f"{row.estimate.name[-22:]:24s}{row.estimate.npu_operator:20s}"
            f"{row.estimate.cycles:10d}{row.cycles:10d}{row.difference:+12.1%}{mark}"
        )
    for operator, words in _EXPLANATIONS.items():
        if operator in marked:
            yield f"* {operator}: {words}"
    total = cost.counters.cycle
    yield (
        f"{'total':44s}{compiled.total_cycles:10d}{total:10d}"
        f"{total / compiled.total_cycles - 1:+12.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
