"""What each model costs and achieves on a board, over the fixed test mixtures, as Markdown tables.

    python -m pipeline.targets.results --corpus runs/tinylstm/prepare/corpus

Every mixture goes through the board and through the host's integer pipeline. Finished mixtures are
kept in the journal, so that a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.metrics.quality import si_sdr_db
from pipeline.progress import Reporter
from pipeline.targets.agreement import compare_with_host
from pipeline.targets.board import Board, BoardError
from pipeline.targets.board_options import add_board_options, models_in, open_board
from pipeline.targets.deployment import DeploymentCard, card_path, measure, package_model
from pipeline.targets.firmware_image import ImageSize, image_size
from pipeline.targets.mixtures import BoardMixture, board_mixtures
from pipeline.targets.protocol import FirmwareError
from pipeline.targets.tflite import TfliteRunner
from pipeline.targets.virtual import TICKS_PER_INSTRUCTION

_SOURCES = {"virtual": "emulator", "fvp": "fvp"}


class Row(BaseModel):
    """One mixture through one model on one board; costs are means over its hops."""

    model_config = ConfigDict(frozen=True)
    run: str
    model: str
    mixture: str
    engine: str
    package_bytes: int
    arena_bytes: int
    npu_cycles: float
    cpu_ticks: float
    noisy_si_sdr_db: float
    board_si_sdr_db: float
    host_si_sdr_db: float
    mask_values: int
    mask_mismatches: int
    feature_steps: int
    sample_steps: int


def main() -> None:
    """Command line."""
    options = _parse()
    try:
        models = models_in(options.models)
        board = open_board(options)
        size = image_size(options.firmware)
        mixtures = board_mixtures(options.corpus, options.per_snr)
        journal = Journal(options.journal)
        rows = []
        with Reporter() as report, tempfile.TemporaryDirectory() as scratch:
            for model in models:
                run = f"{options.board} {_digest(options.firmware, model, card_path(model))}"
                evaluator = _Evaluator(board, model, run, Path(scratch))
                known = journal.rows(run)
                for done, mixture in enumerate(mixtures, start=1):
                    row = known.get(mixture.name)
                    if row is None:
                        row = evaluator.evaluate(mixture)
                        journal.append(row)
                    rows.append(row)
                    report(model.stem, done, len(mixtures))
    except (ValueError, OSError, BoardError, FirmwareError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print("\n".join([*cost_table(rows, size, options.board), "", *quality_table(rows)]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.targets.results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_board_options(parser)
    parser.add_argument(
        "--corpus", type=Path, help="prepared corpus; default: the mixtures of this package"
    )
    parser.add_argument("--per-snr", type=int, metavar="N", help="only the first N of each SNR")
    parser.add_argument("--journal", type=Path, default=Path("runs/board/results.jsonl"))
    return parser.parse_args()


class _Evaluator:
    """Runs one model on the board and on the host."""

    def __init__(self, board: Board, model: Path, run: str, scratch: Path) -> None:
        self._board = board
        self._run = run
        self._name = model.stem
        self._package = package_model(model, scratch)
        self._host = TfliteRunner(model)
        self._front_end = DeploymentCard.read(card_path(model)).to_front_end()

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


def _digest(*files: Path) -> str:
    return hashlib.sha256(
        b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)
    ).hexdigest()


class Journal:
    """Rows already measured, one JSON line each; what a kill left of the last line is dropped."""

    def __init__(self, path: Path) -> None:
        """Open or create.

        Raises:
            ValueError: a line is not a row; the text names it.
        """
        self._path = path
        self._rows: list[Row] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._rows.append(Row.model_validate_json(line))
            except ValidationError as error:
                raise ValueError(f"{path}: line {number} is not a result; delete it") from error
        if whole != content:
            path.write_bytes(whole)

    def rows(self, run: str) -> dict[str, Row]:
        """What is known of a run, by mixture."""
        return {row.mixture: row for row in self._rows if row.run == run}

    def append(self, row: Row) -> None:
        """Keep a row."""
        self._rows.append(row)
        with self._path.open("a") as file:
            file.write(row.model_dump_json() + "\n")


def cost_table(rows: Sequence[Row], size: ImageSize, board: str) -> list[str]:
    """Flash, RAM, arena, and the cost of a hop; one line for each model."""
    per_unit = TICKS_PER_INSTRUCTION if board == "virtual" else 1.0
    cpu = "CPU instructions (virtual)" if board == "virtual" else "CPU ticks (fvp)"
    table = _head(
        ("Model", "Engine"),
        (
            "Firmware flash, bytes",
            "Model flash, bytes",
            "RAM, bytes",
            "Arena, bytes",
            f"NPU cycles ({_SOURCES[board]})",
            cpu,
        ),
    )
    for model, group in _by_model(rows):
        numbers = (
            size.flash_bytes,
            max(row.package_bytes for row in group),
            size.ram_bytes,
            max(row.arena_bytes for row in group),
            np.mean([row.npu_cycles for row in group]),
            np.mean([row.cpu_ticks for row in group]) / per_unit,
        )
        table.append(_line(model, group[0].engine, *(f"{value:,.0f}" for value in numbers)))
    return table


def quality_table(rows: Sequence[Row]) -> list[str]:
    """SI-SDR of board and host over the mixtures, and how far apart they are."""
    table = _head(
        ("Model",),
        (
            "Mixtures",
            "Noisy, SI-SDR dB",
            "Board, SI-SDR dB",
            "Host int8, SI-SDR dB",
            "Mask values that differ",
            "Largest feature difference, steps",
            "Largest sample difference, steps",
        ),
    )
    for model, group in _by_model(rows):
        levels = (
            np.mean([row.noisy_si_sdr_db for row in group]),
            np.mean([row.board_si_sdr_db for row in group]),
            np.mean([row.host_si_sdr_db for row in group]),
        )
        mismatches, values = (
            sum(row.mask_mismatches for row in group),
            sum(row.mask_values for row in group),
        )
        table.append(
            _line(
                model,
                str(len(group)),
                *(f"{level:.3f}" for level in levels),
                f"{mismatches:,} of {values:,}",
                str(max(row.feature_steps for row in group)),
                str(max(row.sample_steps for row in group)),
            )
        )
    return table


def _by_model(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.model, []).append(row)
    return list(groups.items())


def _head(texts: Sequence[str], numbers: Sequence[str]) -> list[str]:
    rule = ["---"] * len(texts) + ["---:"] * len(numbers)
    return [_line(*texts, *numbers), _line(*rule)]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
