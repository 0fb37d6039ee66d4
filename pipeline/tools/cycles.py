"""Puts the emulator's cycles beside Vela's estimate, layer by layer.

python -m pipeline.cycles model.tflite
python -m pipeline.cycles tflite_models/*.tflite --memory-mode Sram_Only
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.cli import command_parser, reported_errors
from pipeline.ethosu import Emulator, load_vela_model, memory_system, vela
from pipeline.ethosu.comparison import compare_with_vela

WORTH_EXPLAINING = 0.10
"""Relative difference above which a layer is marked."""
_EXPLANATIONS = {
    "Transpose": "Vela counts the bytes it moves; the stream moves them through 1 x 1 poolings, "
    "whose steps in the array are counted here (docs/ethosu.md)",
}


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command_parser("pipeline.cycles", __doc__)
    parser.add_argument("models", type=Path, nargs="+", help="uncompiled .tflite files")
    parser.add_argument("--accelerator", default="ethos-u55-128")
    parser.add_argument("--system-config", default="Ethos_U55_High_End_Embedded")
    parser.add_argument("--memory-mode", default="Shared_Sram")
    options = parser.parse_args(arguments)
    for path in options.models:
        with reported_errors():
            lines = list(_table(path, options))
        print("\n".join(lines))


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
    main()
