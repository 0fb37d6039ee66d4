"""Estimate: what one hop costs, a row for each source of truth, and every layer by both models."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage, write_atomically
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.ethosu import Emulator, ProgramCost, load_vela_model, memory_system
from pipeline.ethosu.comparison import ComparedLayer, compare_with_vela
from pipeline.ethosu.vela import LayerCost
from pipeline.ethosu.vela_config import VelaConfig
from pipeline.models import Model
from pipeline.reporting.results import Latency

LAYERS = "layers.csv"


@stage(
    "estimate/{model}",
    needs=("compile/{model}",),
    settings=("compile",),
    reads=("compile.vela_config",),
)
def run(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """Collect what one hop costs, by Vela and by the emulator's model; layers go to a table."""
    systems = VelaConfig.load(config.compile.vela_config)
    rows: list[Latency] = []
    layers: list[dict[str, Any]] = []
    for mode, estimate in run_dir.card(f"compile/{model.name}").results.items():
        system = memory_system(config.compile.system, mode, systems)
        cost = Emulator(load_vela_model(run_dir.compiled(model.name, mode))).cost(system)
        rows.append(Latency.model_validate(estimate | {"memory_mode": mode}))
        rows.append(_total(cost, mode, system.clock_hz))
        compared = compare_with_vela(cost, [LayerCost(**row) for row in estimate["layers"]])
        layers += ({"memory_mode": mode} | row for row in _layer_rows(compared))
    _write_table(work_dir / LAYERS, layers)
    return {"costs": [row.model_dump() for row in rows]}


def _total(cost: ProgramCost, memory_mode: str, clock_hz: float) -> Latency:
    """One hop by the cost model of `pipeline.ethosu`."""
    counters = cost.counters
    return Latency(
        source="emulator",
        memory_mode=memory_mode,
        npu_cycles=counters.npu_active,
        total_cycles=counters.cycle,
        latency_us=round(counters.cycle / clock_hz * 1e6, 2),
    )


def _layer_rows(compared: tuple[ComparedLayer, ...]) -> Iterator[dict[str, Any]]:
    """Cycles of each layer by both models, and the emulator's by unit; the units overlap."""
    for layer in compared:
        costs = layer.operations
        yield {
            "layer": layer.estimate.name,
            "operation": layer.estimate.npu_operator,
            "macs": layer.estimate.macs,
            "vela_cycles": layer.estimate.cycles,
            "emulator_cycles": layer.cycles,
            "emulator_mac_cycles": sum(cost.compute.mac for cost in costs),
            "emulator_weight_decode_cycles": sum(cost.compute.weight_decode for cost in costs),
            "emulator_output_cycles": sum(cost.compute.output for cost in costs),
            "emulator_axi0_cycles": sum(cost.port_cycles[0] for cost in costs),
            "emulator_axi1_cycles": sum(cost.port_cycles[1] for cost in costs),
        }


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


if __name__ == "__main__":
    stage_main(run)
