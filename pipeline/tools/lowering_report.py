"""Lowering report: every operator's cycles before and after structure became smaller operators.

``python -m pipeline.lowering_report --config configs/X.toml`` builds each variant of a finished run
twice, as trained with its zeros in place and lowered, compiles both with Vela, and prints one
Markdown table a variant. Cycles are Vela's estimates (``vela``).
"""

import tempfile
from pathlib import Path

from pipeline.artefacts import RunDir
from pipeline.cli import parse, reported_errors
from pipeline.config import Compile, Config
from pipeline.ethosu import vela
from pipeline.lowering.tflite import to_tflite
from pipeline.lowering.unit_order import narrow_windows
from pipeline.lowering.windows import whole
from pipeline.networks.trained import Trained
from pipeline.reporting.table import Table, markdown

# With weights in SRAM: in flash, reading them would hide what the NPU does.
MEMORY_MODE = "Sram_Only"


def lowering_table(trained: Trained, name: str, settings: Compile) -> Table:
    """One model's operators before and after lowering."""
    with tempfile.TemporaryDirectory() as folder:
        masked, lowered = (
            _compiled(model, Path(folder) / f"{name}-{kind}.tflite", settings)
            for kind, model in (
                ("masked", to_tflite(trained, name, whole)),
                ("lowered", to_tflite(narrow_windows(trained), name)),
            )
        )
    before, after = _by_operator(masked), _by_operator(lowered)
    rows = [
        (operator, _cell(before.get(operator)), _cell(after.get(operator)))
        for operator in dict.fromkeys([*before, *after])
    ]
    total = ("**all**", f"{masked.npu_cycles:,}", f"{lowered.npu_cycles:,}")
    columns = ("Operator", "Masked: operators, NPU cycles", "Lowered: operators, NPU cycles")
    return Table.of(f"### {name}", columns, [*rows, total])


def _compiled(model: bytes, path: Path, settings: Compile) -> vela.CompiledModel:
    path.write_bytes(model)
    return vela.compile(path, path.parent, settings.accelerator, settings.system, MEMORY_MODE)


def _by_operator(compiled: vela.CompiledModel) -> dict[str, list[int]]:
    """Cycles of every layer; the windows of a product and the table after it count as one."""
    cycles: dict[str, list[int]] = {}
    for layer in compiled.layers:
        name = layer.name.partition("[")[0].removesuffix("_input")
        cycles.setdefault(name, []).append(layer.npu_cycles)
    return cycles


def _cell(cycles: list[int] | None) -> str:
    return "-" if cycles is None else f"{len(cycles)}, {sum(cycles):,}"


def main() -> None:
    """Command line."""
    options = parse("python -m pipeline.lowering_report", __doc__ or "")
    config, run_dir = options.config, options.run_dir
    with reported_errors():
        print(markdown(_tables(config, run_dir)), end="")


def _tables(config: Config, run_dir: RunDir) -> list[Table]:
    return [
        lowering_table(Trained.load(run_dir.weights(v.name)), v.name, config.compile)
        for v in config.compress.variants
    ]


if __name__ == "__main__":
    main()
