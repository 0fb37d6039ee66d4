"""On target: the firmware with every compiled model on the virtual board or the FVP."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.boards.agreement import on_board
from pipeline.boards.board import Board
from pipeline.boards.board_options import board_of
from pipeline.boards.deployment import CompileTarget, package_model
from pipeline.boards.firmware_image import image_size
from pipeline.boards.inferences import compared_inferences
from pipeline.boards.journal import BoardRun, Row
from pipeline.boards.mixtures import BoardMixture
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.deployed import MEMORY_MODES, Deployed
from pipeline.errors import InputError
from pipeline.ethosu.vela_config import ARM
from pipeline.inputs import prepared_corpus
from pipeline.models import Model
from pipeline.progress import Reporter


def check(config: Config) -> None:
    """Refuse a board that is not there, and memories that the firmware does not know.

    Raises:
        InputError: names the setting and what there is.
        BoardError: the firmware or the simulator is missing; says how to get it.
    """
    if config.on_target.board == "none":
        return
    known = {"system": ARM.systems(), "memory_modes": MEMORY_MODES}
    given = {"system": (config.compile.system,), "memory_modes": config.compile.memory_modes}
    for name, values in given.items():
        for value in values:
            if value not in known[name]:
                raise InputError(
                    f"compile.{name}: {value!r} is none that the firmware runs with "
                    f"({', '.join(known[name])}); leave it out, or set on_target.board to none"
                )
    _board(config).check()


@stage(
    "on_target/{model}",
    needs=("prepare", "convert/{model}", "compile/{model}"),
    settings=("on_target.board", "on_target.mixtures", "compile"),
    reads=("on_target.firmware", "on_target.plugin"),
    check=check,
)
def run(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """Run the firmware with every compiled model on a board, if on_target.board names one."""
    settings, modes = config.on_target, config.compile.memory_modes
    if settings.board == "none" or settings.firmware is None:
        return BoardRun().model_dump()
    board, deployed = _board(config), Deployed.load(run_dir.tflite(model.name))
    size = image_size(settings.firmware)
    if deployed.card.front_end is None:
        inferences = _inferences(config, run_dir, board, model.name)
        return BoardRun(board=settings.board, image=size).model_dump() | {"inferences": inferences}
    heard = itertools.islice(prepared_corpus(run_dir).mixtures("test"), settings.mixtures)
    mixtures = [BoardMixture.of(mixture) for mixture in heard]
    rows: dict[str, tuple[Row, ...]] = {}
    with Reporter() as report, tempfile.TemporaryDirectory() as scratch:
        for mode in (mode for mode in MEMORY_MODES if mode in modes):
            package = package_model(
                Deployed.load(run_dir.compiled(model.name, mode)),
                Path(scratch),
                CompileTarget(config.compile.accelerator, config.compile.system, mode),
                front_end=deployed.front_end,
            )
            for done, mixture in enumerate(mixtures, start=1):
                row = on_board(board, package, deployed, mixture, settings.board)
                rows[mode] = (*rows.get(mode, ()), row)
                report(f"{model.name}, {mode}", done, len(mixtures))
    return BoardRun(board=settings.board, image=size, rows=rows).model_dump()


def _inferences(
    config: Config, run_dir: RunDir, board: Board, model: str
) -> dict[str, dict[str, Any]]:
    """By memory mode, what the board makes of random inputs beside what the emulator makes."""
    found: dict[str, dict[str, Any]] = {}
    with Reporter() as report, tempfile.TemporaryDirectory() as scratch:
        modes = [mode for mode in MEMORY_MODES if mode in config.compile.memory_modes]
        for done, mode in enumerate(modes, start=1):
            compiled = Deployed.load(run_dir.compiled(model, mode))
            target = CompileTarget(config.compile.accelerator, config.compile.system, mode)
            package = package_model(compiled, Path(scratch), target, front_end=None)
            found[mode] = compared_inferences(board, package, compiled).model_dump()
            report(f"{model}, inferences", done, len(modes))
    return found


def _board(config: Config) -> Board:
    settings, compiled = config.on_target, config.compile
    assert settings.board != "none" and settings.firmware is not None
    target = CompileTarget(compiled.accelerator, compiled.system)
    return board_of(settings.board, target, settings.firmware, settings.plugin)


if __name__ == "__main__":
    stage_main(run)
