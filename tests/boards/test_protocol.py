"""The report parser: a whole run, and everything a console can do wrong."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from console_reports import MODEL, START, SUMMARY, console, end
from hypothesis import given
from hypothesis import strategies as st

from pipeline.boards.protocol import FirmwareError, FirmwareLog, ProtocolError

ERROR = {
    "v": 3, "type": "error", "code": 32, "name": "npu_configuration",
    "expected": 0x1807, "actual": 0x3008,
}  # fmt: skip


def test_a_whole_run_is_read() -> None:
    log = FirmwareLog.parse(console(START, MODEL, SUMMARY, end(0)))
    assert log.model is not None
    assert log.model.weights_placement == "flash"
    assert log.summary is not None
    assert (log.summary.hops, log.summary.npu_total_cycles) == (2, 20)
    log.raise_for_error()


def test_an_error_is_raised_in_words() -> None:
    log = FirmwareLog.parse(console(START, ERROR, end(32)))
    with pytest.raises(FirmwareError, match=r"32 \(npu_configuration\).*0x1807.*0x3008"):
        log.raise_for_error()


def test_messages_are_part_of_the_error() -> None:
    messages = [{"v": 3, "type": "message", "text": text} for text in ("no kernel ", "for ADD")]
    log = FirmwareLog.parse(console(START, *messages, ERROR, end(32)))
    assert log.messages == ("no kernel ", "for ADD")
    with pytest.raises(FirmwareError, match=r"npu_configuration.*; no kernel; for ADD"):
        log.raise_for_error()


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ([], "no 'start' report"),
        ([START], "no 'end' report"),
        ([START, START, end(0)], "2 reports of type 'start'"),
        ([START, SUMMARY, SUMMARY, end(0)], "2 reports of type 'summary'"),
        ([START, end(5)], "does not fit"),
        ([START, ERROR, end(0)], "does not fit"),
        ([START | {"v": 1}, end(0)], "protocol version 1, expected 3"),
        ([START | {"extra": 1}, end(0)], "line 2 is not a report"),
        ([START | {"ticks_per_second": "32"}, end(0)], "line 2 is not a report"),
        ([SUMMARY | {"axi0_read_beats": -1}], "line 2 is not a report"),
        ([SUMMARY | {"type": "jump"}], "line 2 is not a report"),
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
    whole = console(START, MODEL, SUMMARY, end(0))
    with contextlib.suppress(ProtocolError):
        FirmwareLog.parse(whole[:position] + noise + whole[position:])
