"""A board's results as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.boards.firmware_image import ImageSize
from pipeline.boards.journal import Row
from pipeline.boards.virtual import TICKS_PER_INSTRUCTION
from pipeline.dsp import HOP_SAMPLES, RATE_HZ
from pipeline.reporting.table import Table

_SOURCES = {"virtual": "emulator", "fvp": "fvp"}


def cost_table(rows: Sequence[Row], size: ImageSize, board: str) -> Table:
    """Flash, RAM, arena, and the cost of a hop; one line for each model."""
    per_unit, cpu = _cpu(board)
    lines = []
    for model, group in _by_model(rows):
        numbers = (
            size.flash_bytes,
            max(row.package_bytes for row in group),
            size.ram_bytes,
            max(row.arena_bytes for row in group),
            np.mean([row.npu_cycles for row in group]),
            np.mean([row.cpu_ticks for row in group]) / per_unit,
        )
        lines.append((model, group[0].engine, *(f"{value:,.0f}" for value in numbers)))
    columns = (
        *("Model", "Engine", "Firmware flash, bytes", "Model flash, bytes", "RAM, bytes"),
        *("Arena, bytes", f"NPU cycles ({_SOURCES[board]})", f"CPU {cpu}"),
    )
    return Table.of("", columns, lines, texts=2)


def quality_table(rows: Sequence[Row]) -> Table:
    """SI-SDR of board and host over the mixtures, and how far apart they are."""
    lines = []
    for model, group in _by_model(rows):
        levels = (
            np.mean([row.noisy_si_sdr_db for row in group]),
            np.mean([row.board_si_sdr_db for row in group]),
            np.mean([row.host_si_sdr_db for row in group]),
        )
        mismatches = sum(row.mask_mismatches for row in group)
        cells = (
            *(f"{level:.3f}" for level in levels),
            f"{mismatches:,} of {sum(row.mask_values for row in group):,}",
            str(max(row.feature_steps for row in group)),
            str(max(row.sample_steps for row in group)),
        )
        lines.append((model, str(len(group)), *cells))
    columns = (
        *("Model", "Mixtures", "Noisy, SI-SDR dB", "Board, SI-SDR dB", "Host int8, SI-SDR dB"),
        *("Mask values that differ", "Largest feature difference, steps"),
        "Largest sample difference, steps",
    )
    return Table.of("", columns, lines)


@dataclass(frozen=True)
class EngineRow:
    """One model through one engine on one processor: what differs, sizes, and means of a hop.

    `dsp_instructions` are those of features and synthesis. `network_instructions` count nothing
    where there is an NPU: the CPU sleeps meanwhile. The energy is that of `pipeline.boards.energy`.
    """

    model: str
    processor: str
    engine: str
    mask_values: int
    differing_values: int
    sample_steps: int
    firmware_bytes: int
    model_bytes: int
    arena_bytes: int
    npu_cycles: float
    dsp_instructions: float
    network_instructions: float
    energy_uj: float


def engine_table(rows: Sequence[EngineRow]) -> Table:
    """Agreement, sizes and cost of a hop; one line for each model, processor and engine."""
    lines = []
    for row in rows:
        has_npu = row.npu_cycles > 0
        network = row.network_instructions
        a_second = (network + row.dsp_instructions) * RATE_HZ / HOP_SAMPLES
        cells = (
            f"{row.mask_values:,}",
            f"{row.differing_values:,}",
            f"{row.sample_steps}",
            f"{row.firmware_bytes:,}",
            f"{row.model_bytes:,}",
            f"{row.arena_bytes:,}",
            f"{row.npu_cycles:,.0f}" if has_npu else "-",
            "-" if has_npu else f"{network:,.0f}",
            f"{row.dsp_instructions:,.0f}",
            f"{a_second / 1e6:.1f}",
            f"{row.energy_uj:.1f}",
        )
        lines.append((row.model, row.processor, row.engine, *cells))
    columns = (
        *("Model", "Processor", "Engine", "Mask values", "That differ"),
        *("Largest sample difference, steps", "Firmware flash, bytes", "Model flash, bytes"),
        *("Arena, bytes", "NPU cycles (emulator)", "CPU instructions of the network (virtual)"),
        "of features and synthesis (virtual)",
        "CPU instructions a second, millions (virtual)",
        "Energy, µJ (estimate)",
    )
    return Table.of("", columns, lines, texts=3)


def _cpu(board: str) -> tuple[float, str]:
    """Ticks of a unit of the CPU's work, and its name."""
    is_virtual = board == "virtual"
    return (TICKS_PER_INSTRUCTION, "instructions (virtual)") if is_virtual else (1.0, "ticks (fvp)")


def _by_model(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.model, []).append(row)
    return list(groups.items())
