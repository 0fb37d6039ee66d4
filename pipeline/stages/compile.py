"""Compile: Vela command streams, exact sizes and estimated cycles in every memory mode."""

import dataclasses
from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.ethosu import vela
from pipeline.ethosu.vela_config import VelaConfig
from pipeline.progress import Reporter
from pipeline.stages.convert import model_path


@stage(
    "compile",
    needs=("convert",),
    sections=("compress", "compile"),
    reads=("compile.vela_config",),
)
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Compile every model with Vela; exact sizes and estimated cycles in every memory mode."""
    systems = VelaConfig.load(config.compile.vela_config)
    jobs = [
        (variant.name, mode)
        for variant in config.compress.variants
        for mode in config.compile.memory_modes
    ]
    results: dict[str, Any] = {variant.name: {} for variant in config.compress.variants}
    with Reporter() as report:
        for done, (name, mode) in enumerate(jobs, start=1):
            compiled = vela.compile(
                model_path(run_dir, name),
                work_dir / mode,
                config.compile.accelerator,
                config.compile.system,
                mode,
                config=systems,
            )
            results[name][mode] = summary(compiled)
            report("Vela", done, len(jobs))
    return results


def summary(compiled: vela.CompiledModel) -> dict[str, Any]:
    """A compiled model as JSON data."""
    return {
        "source": compiled.source,
        "accelerator": compiled.accelerator,
        "system": compiled.system_config,
        "flash": dataclasses.asdict(compiled.flash) | {"total": compiled.flash.total},
        "arena_bytes": compiled.arena_bytes,
        "npu_cycles": compiled.npu_cycles,
        "total_cycles": compiled.total_cycles,
        "clock_hz": compiled.clock_hz,
        "latency_us": round(compiled.latency_us, 2),
        "layers": [dataclasses.asdict(layer) for layer in compiled.layers],
    }


def compiled_path(run_dir: RunDir, name: str, mode: str) -> Path:
    """Where a variant compiled for a memory mode lies."""
    return run_dir.path("compile") / mode / f"{name}_vela.tflite"


if __name__ == "__main__":
    stage_main(run)
