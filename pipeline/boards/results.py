"""What each model costs and achieves on a board, over the fixed test mixtures, as Markdown tables.

    python -m pipeline.boards.results --corpus runs/demo/prepare/corpus

Every mixture goes through the board and through the host's integer pipeline. Finished mixtures are
kept in the journal, so that a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import pipeline
from pipeline.boards.agreement import on_board
from pipeline.boards.board_options import (
    add_board_options,
    add_model_options,
    compile_target,
    models_of,
    open_board,
)
from pipeline.boards.deployment import package_model
from pipeline.boards.firmware_image import ImageSize, image_size
from pipeline.boards.journal import Journal, Row
from pipeline.boards.mixtures import board_mixtures
from pipeline.boards.tables import cost_table, quality_table
from pipeline.cli import DEBUG, DEBUG_HELP, at_least, reported_errors
from pipeline.deployed import Deployed, card_path
from pipeline.progress import Reporter
from pipeline.reporting.table import markdown


def main() -> None:
    """Command line."""
    options = _parse()
    with reported_errors():
        rows, size = _measure(options)
    print(markdown((cost_table(rows, size, options.board), quality_table(rows))), end="")


def _measure(options: argparse.Namespace) -> tuple[list[Row], ImageSize]:
    models = models_of(options)
    board, target = open_board(options), compile_target(options)
    size = image_size(options.firmware)
    mixtures = board_mixtures(options.corpus, options.per_snr)
    journal = Journal(options.journal)
    rows = []
    with Reporter() as report, tempfile.TemporaryDirectory() as scratch:
        for model in models:
            key = _digest(options.firmware, model, card_path(model), *_pipeline_sources())
            run = f"{options.board} {target} {key}"
            deployed = Deployed.load(model)
            package = package_model(deployed, Path(scratch), target, front_end=deployed.front_end)
            known = journal.rows(run)
            for done, mixture in enumerate(mixtures, start=1):
                row = known.get(mixture.name)
                if row is None:
                    row = on_board(board, package, deployed, mixture, run)
                    journal.append(row)
                rows.append(row)
                report(model.stem, done, len(mixtures))
    return rows, size


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.boards.results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    add_model_options(parser)
    add_board_options(parser)
    parser.add_argument(
        "--corpus", type=Path, help="prepared corpus; default: the mixtures of this package"
    )
    parser.add_argument(
        "--per-snr", type=at_least(1), metavar="N", help="only the first N of each SNR"
    )
    parser.add_argument("--journal", type=Path, default=Path("runs/board/results.jsonl"))
    return parser.parse_args()


def _pipeline_sources() -> list[Path]:
    """Costs and comparisons depend on the emulator and the rest of this package."""
    return sorted(Path(pipeline.__path__[0]).rglob("*.py"))


def _digest(*files: Path) -> str:
    return hashlib.sha256(
        b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)
    ).hexdigest()


if __name__ == "__main__":
    main()
