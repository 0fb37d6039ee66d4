"""What a board made of one mixture, kept in a file that outlives a killed run."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.boards import BoardName
from pipeline.boards.firmware_image import ImageSize
from pipeline.errors import InputError


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


class BoardRun(BaseModel):
    """A model on a board over some mixtures, compiled for each memory mode; no board: nothing ran.

    Attributes:
        board: what ran it: the source of its numbers.
        image: of the firmware without any model.
        rows: by memory mode.
    """

    model_config = ConfigDict(frozen=True)
    board: BoardName | None = None
    image: ImageSize | None = None
    rows: dict[str, tuple[Row, ...]] = {}


class Journal:
    """Rows already measured, one JSON line each; what a kill left of the last line is dropped."""

    def __init__(self, path: Path) -> None:
        """Open or create.

        Raises:
            InputError: a line is not a row; the text names it.
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
                raise InputError(f"{path}: line {number} is not a result; delete it") from error
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
