"""Measure: what one hop costs, one row for each source of truth."""

from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config


@stage("measure", needs=("compile",), sections=("compress", "compile"))
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Collect what one hop costs, one row for each source of truth."""
    compiled = run_dir.card("compile").results
    fields = ("source", "npu_cycles", "total_cycles", "latency_us")
    return {
        variant.name: [
            {"memory_mode": mode} | {field: estimate[field] for field in fields}
            for mode, estimate in compiled[variant.name].items()
        ]
        for variant in config.compress.variants
    }


if __name__ == "__main__":
    stage_main(run, "measure")
