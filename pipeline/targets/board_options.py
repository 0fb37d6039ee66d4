"""What every command that runs the firmware takes: which board, which image, which models."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.targets.board import Board, BoardError
from pipeline.targets.fvp import FvpBoard
from pipeline.targets.virtual import VirtualBoard

FIRMWARE = Path("build/firmware/board/platform/corstone300/enhancer.elf")
PLUGIN = Path("build/firmware/host/virtual/libnpu.so")


def add_board_options(parser: argparse.ArgumentParser) -> None:
    """Add --board, --models, --firmware and --plugin."""
    parser.add_argument("--board", choices=("virtual", "fvp"), default="virtual")
    parser.add_argument("--models", type=Path, default=Path("tflite_models"), metavar="FOLDER")
    parser.add_argument("--firmware", type=Path, default=FIRMWARE, help="default: %(default)s")
    parser.add_argument("--plugin", type=Path, default=PLUGIN, help="default: %(default)s")


def open_board(options: argparse.Namespace) -> Board:
    """The board the options name."""
    if options.board == "fvp":
        return FvpBoard(options.firmware)
    return VirtualBoard(options.firmware, options.plugin)


def models_in(folder: Path) -> list[Path]:
    """The TFLite files of a folder, by name.

    Raises:
        BoardError: there is none.
    """
    models = sorted(folder.glob("*.tflite"))
    if not models:
        raise BoardError(f"{folder}: no .tflite model there")
    return models
