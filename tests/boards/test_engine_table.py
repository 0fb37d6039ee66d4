"""The table of engines and processors."""

from __future__ import annotations

import dataclasses

from pipeline.boards.tables import EngineRow, engine_table

ROW = EngineRow(
    model="a",
    processor="cortex-m55",
    engine="npu",
    mask_values=2176,
    differing_values=0,
    sample_steps=1,
    firmware_bytes=40_000,
    model_bytes=50_000,
    arena_bytes=1232,
    npu_cycles=45_019,
    dsp_instructions=25_189,
    network_instructions=0,
    energy_uj=10.54,
)


def cells(row: EngineRow) -> list[str]:
    line = engine_table([row]).markdown().splitlines()[-1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_a_row_has_not_is_a_dash() -> None:
    assert cells(ROW)[9:] == ["45,019", "-", "25,189", "1.6", "10.5"]
    on_cpu = dataclasses.replace(ROW, npu_cycles=0, network_instructions=480_483)
    assert cells(on_cpu)[9:] == ["-", "480,483", "25,189", "31.6", "10.5"]
