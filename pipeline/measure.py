"""Measure: what one hop costs, one row for each source of truth."""

from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.compile import compiled_path
from pipeline.config import Config
from pipeline.ethosu import Emulator, load_vela_model, memory_system


@stage("measure", needs=("compile",), sections=("compress", "compile"))
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Collect what one hop costs, one row for each source of truth."""
    compiled = run_dir.card("compile").results
    fields = ("source", "npu_cycles", "total_cycles", "latency_us")
    return {
        variant.name: [
            row
            for mode, estimate in compiled[variant.name].items()
            for row in (
                {"memory_mode": mode} | {field: estimate[field] for field in fields},
                {"memory_mode": mode}
                | _emulated(config, compiled_path(run_dir, variant.name, mode), mode),
            )
        ]
        for variant in config.compress.variants
    }


def _emulated(config: Config, compiled: Path, mode: str) -> dict[str, Any]:
    """One hop by the cost model of `pipeline.ethosu`."""
    system = memory_system(config.compile.system, mode)
    counters = Emulator(load_vela_model(compiled)).cost(system).counters
    return {
        "source": "emulator",
        "npu_cycles": counters.npu_active,
        "total_cycles": counters.cycle,
        "latency_us": round(counters.cycle / system.clock_hz * 1e6, 2),
    }


if __name__ == "__main__":
    stage_main(run)
