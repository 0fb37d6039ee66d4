"""A board's results as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.boards.firmware_image import ImageSize
from pipeline.boards.journal import Row
from pipeline.boards.virtual import TICKS_PER_INSTRUCTION

_SOURCES = {"virtual": "emulator", "fvp": "fvp"}


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


@dataclass(frozen=True)
class EngineRow:
    """One model through one engine: bytes compared, and means of a hop.

    `inference_ticks` hold the wait for the NPU; without one they are the CPU's work.
    """

    model: str
    engine: str
    hops: int
    compared_bytes: int
    differing_bytes: int
    npu_cycles: float
    inference_ticks: float


def engine_table(rows: Sequence[EngineRow], board: str) -> list[str]:
    """Agreement and cost of the network alone; one line for each model and engine."""
    per_unit = TICKS_PER_INSTRUCTION if board == "virtual" else 1.0
    cpu = "instructions (virtual)" if board == "virtual" else "ticks (fvp)"
    table = _head(
        ("Model", "Engine"),
        (
            "Hops",
            "Mask bytes",
            "That differ",
            f"NPU cycles ({_SOURCES[board]})",
            f"CPU {cpu} without NPU",
        ),
    )
    for row in rows:
        has_npu = row.npu_cycles > 0
        table.append(
            _line(
                row.model,
                row.engine,
                f"{row.hops}",
                f"{row.compared_bytes:,}",
                f"{row.differing_bytes:,}",
                f"{row.npu_cycles:,.0f}" if has_npu else "-",
                "-" if has_npu else f"{row.inference_ticks / per_unit:,.0f}",
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
