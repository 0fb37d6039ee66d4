"""The emulator's cycles beside Vela's estimate, layer by layer.

python -m pipeline.ethosu.comparison tflite_models/*.tflite --memory-mode Sram_Only
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True)
class ComparedLayer:
    """One row of Vela's table and the block operations it became, DMA left out.

    A layer becomes several operations where its weights are staged slice by slice.
    """

    estimate: vela.LayerCost
    operations: tuple[OperationCost, ...]

    @property
    def cycles(self) -> int:
        """By the emulator's model."""
        return sum(cost.cycles for cost in self.operations)

    @property
    def difference(self) -> float:
        """Of the emulator's cycles from Vela's, as a share of the latter."""
        return self.cycles / self.estimate.cycles - 1


def compare_with_vela(
    cost: ProgramCost, layers: Sequence[vela.LayerCost]
) -> tuple[ComparedLayer, ...]:
    """Pair Vela's rows, less those fused into others, with the operations of its command stream.

    Both are in execution order; a row takes one operation, or as many as make up its MACs.

    Raises:
        ModelError: rows and operations do not pair up: they come from different compilations, or
            from an operator that becomes many operations in a way the table does not show.
    """
    remaining = [item for item in cost.operations if isinstance(item.operation, BlockOperation)]
    compared = []
    for layer in layers:
        if not layer.cycles:
            continue
        count = 1
        while sum(item.macs for item in remaining[:count]) < layer.macs and count < len(remaining):
            count += 1
        taken, remaining = tuple(remaining[:count]), remaining[count:]
        macs = sum(item.macs for item in taken)
        if not taken or (layer.macs and macs != layer.macs):
            raise ModelError(
                f"layer {layer.name!r} ({layer.npu_operator}) has {layer.macs} MACs in Vela's "
                f"table, {macs} in the stream; compare one compilation of a model whose operators "
                "each become one operation, or several that share its MACs"
            )
        compared.append(ComparedLayer(layer, taken))
    if remaining:
        raise ModelError(f"{len(remaining)} operations of the stream are in no row of Vela's table")
    return tuple(compared)


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
    for row in compare_with_vela(cost, compiled.layers):
        mark = " *" if abs(row.difference) > WORTH_EXPLAINING else ""
        yield (
            f"{row.estimate.name[-22:]:24s}{row.estimate.npu_operator:20s}"
            f"{row.estimate.cycles:10d}{row.cycles:10d}{row.difference:+12.1%}{mark}"
        )
    total = cost.counters.cycle
    yield (
        f"{'total':44s}{compiled.total_cycles:10d}{total:10d}"
        f"{total / compiled.total_cycles - 1:+12.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
