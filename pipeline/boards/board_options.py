"""What every command that runs the firmware takes: which board, which image, which models."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from pipeline.boards import BOARDS, FIRMWARE, PLUGIN, BoardName
from pipeline.boards.board import Board, BoardError
from pipeline.boards.deployment import CompileTarget
from pipeline.boards.fvp import FvpBoard
from pipeline.boards.npu_model import CountedJobs, EmulatedNpu
from pipeline.boards.virtual import VirtualBoard
from pipeline.deployed import MEMORY_MODES
from pipeline.ethosu.npu import NPUS, get_npu
from pipeline.ethosu.vela_config import ARM


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add what a model is compiled for: --accelerator, --system-config and --memory-mode."""
    default = CompileTarget()
    parser.add_argument(
        "--accelerator",
        choices=sorted(NPUS, key=lambda name: get_npu(name).macs),
        default=default.accelerator,
        help="default: %(default)s",
    )
    parser.add_argument(
        "--system-config",
        choices=ARM.systems(),
        default=default.system_config,
        help="default: %(default)s",
    )
    parser.add_argument(
        "--memory-mode",
        choices=MEMORY_MODES,
        help="weights in flash or copied to SRAM; default: what the model's card says, "
        "Shared_Sram without one",
    )


def add_board_options(parser: argparse.ArgumentParser) -> None:
    """Add the board, its files, its time limit, and what models are compiled for."""
    parser.add_argument("--board", choices=BOARDS, default="virtual")
    add_target_options(parser)
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="end a run that takes longer"
    )
    parser.add_argument("--firmware", type=Path, default=FIRMWARE, help="default: %(default)s")
    parser.add_argument("--plugin", type=Path, default=PLUGIN, help="default: %(default)s")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add --model and --models."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--model", type=Path, action="append", metavar="FILE", help="a .tflite; may be repeated"
    )
    group.add_argument(
        "--models",
        type=Path,
        default=Path("tflite_models"),
        metavar="FOLDER",
        help="every .tflite of it; default: %(default)s",
    )


def compile_target(options: argparse.Namespace) -> CompileTarget:
    """What the options say to compile for."""
    return CompileTarget(options.accelerator, options.system_config, options.memory_mode)


def open_board(options: argparse.Namespace) -> Board:
    """The board the options name, with the NPU they name."""
    files = (options.firmware, options.plugin)
    return board_of(options.board, compile_target(options), *files, options.timeout)


def board_of(
    name: BoardName,
    target: CompileTarget,
    firmware: Path,
    plugin: Path | None,
    timeout_s: float | None = None,
) -> Board:
    """A board with the NPU that models are compiled for."""
    macs = get_npu(target.accelerator).macs
    if name == "fvp":
        return FvpBoard(firmware, macs, timeout_s=timeout_s)
    assert plugin is not None
    npu = EmulatedNpu(target.system_config)
    return VirtualBoard(firmware, plugin, macs, npu, timeout_s)


def with_progress(board: Board, on_job: Callable[[int], None]) -> Board:
    """The board, telling how many jobs its NPU has done; the FVP cannot tell."""
    if isinstance(board, VirtualBoard):
        return dataclasses.replace(board, npu=CountedJobs(board.npu, on_job))
    return board


def models_of(options: argparse.Namespace) -> list[Path]:
    """The models the options name.

    Raises:
        BoardError: there is none, or two have the same name.
    """
    models: list[Path] = options.model or models_in(options.models)
    names = [model.stem for model in models]
    for name in names:
        if names.count(name) > 1:
            raise BoardError(f"two models are named {name}; rename one of them")
    return models


def models_in(folder: Path) -> list[Path]:
    """The TFLite files of a folder, by name.

    Raises:
        BoardError: there is none.
    """
    models = sorted(folder.glob("*.tflite"))
    if not models:
        raise BoardError(f"{folder}: no .tflite model there")
    return models


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds above 0")
    return value
