"""What each model costs and achieves on a board, over the fixed test mixtures, as Markdown tables.

    python -m pipeline.boards.results --corpus runs/tinylstm/prepare/corpus

Every mixture goes through the board and through the host's integer pipeline. Finished mixtures are
kept in the journal, so that a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np

import pipeline
from pipeline.boards.agreement import compare_with_host
from pipeline.boards.board import Board
from pipeline.boards.board_options import (
    add_board_options,
    add_model_options,
    compile_target,
    models_of,
    open_board,
)
from pipeline.boards.deployment import (
    CompileTarget,
    measure,
    package_model,
)
from pipeline.boards.firmware_image import ImageSize, image_size
from pipeline.boards.journal import Journal, Row
from pipeline.boards.mixtures import BoardMixture, board_mixtures
from pipeline.boards.tables import cost_table, quality_table
from pipeline.cli import DEBUG, DEBUG_HELP, reported_errors
from pipeline.deployed import Deployed, card_path
from pipeline.metrics.quality import si_sdr_db
from pipeline.progress import Reporter
from pipeline.runners.tflite import TfliteRunner


def main() -> None:
    """Command line."""
    options = _parse()
    with reported_errors():
        rows, size = _measure(options)
    print("\n".join([*cost_table(rows, size, options.board), "", *quality_table(rows)]))


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
            evaluator = _Evaluator(board, target, model, run, Path(scratch))
            known = journal.rows(run)
            for done, mixture in enumerate(mixtures, start=1):
                row = known.get(mixture.name)
                if row is None:
                    row = evaluator.evaluate(mixture)
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
    parser.add_argument("--per-snr", type=int, metavar="N", help="only the first N of each SNR")
    parser.add_argument("--journal", type=Path, default=Path("runs/board/results.jsonl"))
    return parser.parse_args()


class _Evaluator:
    """Runs one model on the board and on the host."""

    def __init__(
        self, board: Board, target: CompileTarget, model: Path, run: str, scratch: Path
    ) -> None:
        self._board = board
        self._run = run
        self._name = model.stem
        deployed = Deployed.load(model)
        self._front_end = deployed.front_end
        self._package = package_model(deployed, scratch, target, front_end=self._front_end)
        self._host = TfliteRunner(model)

    def evaluate(self, mixture: BoardMixture) -> Row:
        measured = measure(self._board, self._package, mixture.noisy)
        samples = measured.result.samples
        agreement = compare_with_host(measured.result, self._host, self._front_end, mixture.noisy)
        noisy, board, host = (
            si_sdr_db(mixture.clean, audio.astype(np.float32))
            for audio in (mixture.noisy, samples, agreement.host_samples)
        )
        return Row(
            run=self._run,
            model=self._name,
            mixture=mixture.name,
            engine=measured.engine,
            package_bytes=measured.package_bytes,
            arena_bytes=measured.arena_bytes,
            npu_cycles=measured.npu_cycles,
            cpu_ticks=measured.cpu_ticks,
            noisy_si_sdr_db=noisy,
            board_si_sdr_db=board,
            host_si_sdr_db=host,
            mask_values=agreement.mask_values,
            mask_mismatches=agreement.mask_mismatches,
            feature_steps=agreement.feature_steps,
            sample_steps=agreement.sample_steps,
        )


def _pipeline_sources() -> list[Path]:
    """Costs and comparisons depend on the emulator and the rest of this package."""
    return sorted(Path(pipeline.__path__[0]).rglob("*.py"))


def _digest(*files: Path) -> str:
    return hashlib.sha256(
        b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)
    ).hexdigest()


if __name__ == "__main__":
    main()
