"""Section `on_target`: the board and its files."""

from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from pipeline.boards import FIRMWARE, PLUGIN
from pipeline.config.section import Positive, Section


class OnTarget(Section):
    """The firmware with every compiled model, run on a board or its simulator."""

    board: Literal["none", "virtual", "fvp"] = "none"
    """none: not run; virtual: QEMU with the NPU's emulator; fvp: Arm's FVP, which has to be on
    PATH. Both need what `make firmware` builds."""
    mixtures: Positive = 1
    """How many of the test mixtures, the first ones."""
    firmware: Path | None = None
    """The board's image; where `make firmware` leaves it, if a board needs it."""
    plugin: Path | None = None
    """The NPU for QEMU (board = "virtual"), likewise."""

    @model_validator(mode="before")
    @classmethod
    def _files_of_the_board(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        used = {"virtual": {"firmware": FIRMWARE, "plugin": PLUGIN}, "fvp": {"firmware": FIRMWARE}}
        built = used.get(given.get("board", "none"), {})
        names = ("firmware", "plugin")
        return given | {n: (given.get(n) or built[n]) if n in built else None for n in names}
