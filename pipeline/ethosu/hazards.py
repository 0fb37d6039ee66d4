"""What a static check of a program can find wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hazard:
    """A problem at one command; `kind` is uninitialized, clobbered, overlap or dependency."""

    command_index: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"command {self.command_index}: {self.kind}: {self.message}"
