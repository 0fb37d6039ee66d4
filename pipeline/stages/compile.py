"""Compile: Vela command streams, exact sizes and estimated cycles in every memory mode."""

from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.ethosu import vela
from pipeline.ethosu.vela_config import VelaConfig
from pipeline.models import Model


@stage(
    "compile/{model}",
    needs=("convert/{model}",),
    settings=("compile",),
    reads=("compile.vela_config",),
)
def run(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """Compile every model with Vela; exact sizes and estimated cycles in every memory mode."""
    systems = VelaConfig.load(config.compile.vela_config)
    return {
        mode: vela.compile(
            run_dir.tflite(model.name),
            work_dir / mode,
            config.compile.accelerator,
            config.compile.system,
            mode,
            config=systems,
        ).summary()
        for mode in config.compile.memory_modes
    }


if __name__ == "__main__":
    stage_main(run)
