"""The tables of a board's results, and the journal that outlives a killed run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.boards.firmware_image import ImageSize, image_size
from pipeline.boards.journal import Journal, Row
from pipeline.boards.mixtures import board_mixtures
from pipeline.boards.tables import cost_table, quality_table
from pipeline.runners import TargetError

ROW = Row(
    run="virtual abc", model="dense", mixture="m1", engine="npu", package_bytes=2000,
    arena_bytes=300, npu_cycles=1000.0, cpu_ticks=1024.0, noisy_si_sdr_db=1.0, board_si_sdr_db=4.0,
    host_si_sdr_db=5.0, mask_values=128, mask_mismatches=0, feature_steps=1, sample_steps=0,
)  # fmt: skip
OTHER = ROW.model_copy(
    update={"mixture": "m2", "npu_cycles": 3000.0, "board_si_sdr_db": 6.0, "mask_mismatches": 2,
            "sample_steps": 3}
)  # fmt: skip


def test_costs_are_means_in_the_units_of_the_heading() -> None:
    table = cost_table([ROW, OTHER], ImageSize(30_000, 4_000), "virtual")
    head, rule, line = table.markdown().splitlines()
    assert head.count("|") == rule.count("|") == line.count("|")
    assert "NPU cycles (emulator)" in head and "CPU instructions (virtual)" in head
    assert line == "| dense | npu | 30,000 | 2,000 | 4,000 | 300 | 2,000 | 1,000 |"
    head, _, line = cost_table([ROW], ImageSize(0, 0), "fvp").markdown().splitlines()
    assert "NPU cycles (fvp)" in head and "CPU ticks (fvp)" in head
    assert line.endswith("| 1,024 |")


def test_quality_is_a_mean_and_differences_are_sums_and_maxima() -> None:
    table = quality_table([ROW, OTHER, ROW.model_copy(update={"model": "sparse"})])
    lines = table.markdown().splitlines()
    assert lines[2] == "| dense | 2 | 1.000 | 5.000 | 5.000 | 2 of 256 | 1 | 3 |"
    assert lines[3].startswith("| sparse | 1 |")


def test_the_journal_returns_what_belongs_to_the_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    assert Journal(path).rows("virtual abc") == {}
    journal = Journal(path)
    journal.append(ROW)
    journal.append(OTHER)
    journal.append(ROW.model_copy(update={"run": "virtual older"}))
    assert Journal(path).rows("virtual abc") == {"m1": ROW, "m2": OTHER}


def test_a_line_cut_off_by_a_kill_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).append(ROW)
    Journal(path).append(OTHER)
    path.write_bytes(path.read_bytes()[:-20])
    journal = Journal(path)
    assert journal.rows("virtual abc") == {"m1": ROW}
    journal.append(OTHER)
    assert Journal(path).rows("virtual abc") == {"m1": ROW, "m2": OTHER}
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(ValueError, match=r"journal\.jsonl: line 1"):
        Journal(path)


def test_the_first_mixtures_of_each_snr_are_taken() -> None:
    mixtures = board_mixtures(per_snr=2)
    assert [m.snr_db for m in mixtures] == sorted(2 * [-6.0, -3.0, 0.0, 3.0, 6.0, 9.0])
    assert all(m.noisy.dtype == np.int16 and m.noisy.shape == m.clean.shape for m in mixtures)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        board_mixtures(per_snr=0)


@pytest.mark.parametrize("content", [b"", b"no ELF", b"\x7fELF\x01" + bytes(20), b"\x7fELF\x02"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.elf"
    path.write_bytes(content)
    with pytest.raises(TargetError, match=r"image\.elf"):
        image_size(path)
