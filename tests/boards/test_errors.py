"""Every error of the firmware is explained to people, and documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.boards.protocol import Error, FirmwareError

ROOT = Path(__file__).parents[2]


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def firmware_errors() -> dict[int, str]:
    header = (ROOT / "firmware/base/status.h").read_text()
    return {
        int(code): snake(name)
        for name, code in re.findall(r"\bk(\w+) = (\d+),", header)
        if name != "None"
    }


def test_names_on_the_wire_are_those_of_the_source() -> None:
    source = (ROOT / "firmware/base/status.cpp").read_text()
    named = dict(re.findall(r"case Error::k(\w+):\s*return \"(\w+)\";", source))
    assert {snake(name): text for name, text in named.items() if name != "None"} == {
        name: name for name in firmware_errors().values()
    }


def test_the_manual_lists_every_error_with_its_code() -> None:
    table = {}
    manual = (ROOT / "docs/firmware-reference.md").read_text()
    for codes, names in re.findall(r"^\| ([\d, ]+) \| ([a-z_, ]+) \|", manual, re.MULTILINE):
        words = zip(codes.split(", "), names.split(", "), strict=True)
        table |= {int(code): name for code, name in words if "_" in name or name == "usage"}
    assert firmware_errors().items() <= table.items()


@pytest.mark.parametrize(("code", "name"), firmware_errors().items(), ids=str)
def test_every_error_is_put_in_words(code: int, name: str) -> None:
    error = Error(v=3, type="error", code=code, name=name, expected=1, actual=2)
    text = str(FirmwareError(error))
    assert text.startswith(f"firmware error {code} ({name}): ")
    assert "unknown" not in text
