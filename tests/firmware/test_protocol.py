"""The report parser: a whole run, and everything a console can do wrong."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.targets.protocol import FirmwareError, FirmwareLog, ProtocolError

START = {
    "v": 1,
    "type": "start",
    "firmware": "1.0",
    "board": "x",
    "ticks_per_second": 32000000,
}
MODEL = {
    "v": 1, "type": "model", "engine": "npu", "package_bytes": 10, "package_crc32": 1,
    "arena_bytes": 2, "arena_capacity_bytes": 3, "weights_bytes": 4, "weights_placement": "flash",
    "load_ticks": 5,
}  # fmt: skip
SUMMARY = {
    "v": 1, "type": "summary", "hops": 2, "mean_ticks": 9, "max_ticks": 9,
    "real_time_factor_ppm": 100, "compared_bytes": 0, "mismatched_bytes": 0,
    "stack_used_bytes": 1, "stack_capacity_bytes": 2,
}  # fmt: skip
ERROR = {
    "v": 1, "type": "error", "code": 32, "name": "npu_configuration",
    "expected": 0x1807, "actual": 0x3008,
}  # fmt: skip


def hop(index: int) -> dict[str, Any]:
    counters = dict.fromkeys(
        (
            "features_ticks", "inference_ticks", "synthesis_ticks", "npu_total_cycles",
            "npu_active_cycles", "npu_idle_cycles", "axi0_read_beats", "axi0_write_beats",
            "axi1_read_beats",
        ),
        index + 1,
    )  # fmt: skip
    return {"v": 1, "type": "hop", "index": index, **counters}


def end(code: int) -> dict[str, Any]:
    return {"v": 1, "type": "end", "exit_code": code}


def console(*reports: dict[str, Any]) -> str:
    lines = [json.dumps(report, separators=(",", ":")) for report in reports]
    return "\r\n".join(
        ["telnetterminal0: Listening for serial connection", *lines, "\x04 Info: bye"]
    )


def test_a_whole_run_is_read() -> None:
    log = FirmwareLog.parse(console(START, MODEL, hop(0), hop(1), SUMMARY, end(0)))
    assert log.model is not None
    assert log.model.weights_placement == "flash"
    assert [h.npu_total_cycles for h in log.hops] == [1, 2]
    assert log.summary is not None
    assert log.summary.real_time_factor_ppm == 100
    log.raise_for_error()


def test_an_error_is_raised_in_words() -> None:
    log = FirmwareLog.parse(console(START, ERROR, end(32)))
    with pytest.raises(FirmwareError, match=r"32 \(npu_configuration\).*0x1807.*0x3008"):
        log.raise_for_error()


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ([], "no 'start' report"),
        ([START], "no 'end' report"),
        ([START, START, end(0)], "2 reports of type 'start'"),
        ([START, hop(0), hop(2), end(0)], "a line was lost"),
        ([START, end(5)], "does not fit"),
        ([START, ERROR, end(0)], "does not fit"),
        ([START | {"v": 2}, end(0)], "protocol version 2, expected 1"),
        ([START | {"extra": 1}, end(0)], "line 2 is not a report"),
        ([START | {"ticks_per_second": "32"}, end(0)], "line 2 is not a report"),
        ([hop(0) | {"axi0_read_beats": -1}], "line 2 is not a report"),
        ([hop(0) | {"type": "jump"}], "line 2 is not a report"),
    ],
)
def test_unsound_consoles_are_refused(reports: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        FirmwareLog.parse(console(*reports))


def test_a_cut_line_is_refused() -> None:
    whole = console(START, MODEL, end(0))
    with pytest.raises(ProtocolError):
        FirmwareLog.parse(whole.replace('"load_ticks":5}', ""))


@given(st.text(), st.integers(0, 400))
def test_noise_never_breaks_the_parser(noise: str, position: int) -> None:
    whole = console(START, MODEL, hop(0), end(0))
    with contextlib.suppress(ProtocolError):
        FirmwareLog.parse(whole[:position] + noise + whole[position:])
