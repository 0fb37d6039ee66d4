"""The FVP runner: its command line, and its reading of what an FVP prints."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from console_reports import MODEL, START, SUMMARY, console, end

from pipeline.boards.board import BoardError, run_command
from pipeline.boards.fvp import FvpBoard, find_fvp

# Stands where the FVP would: notes its arguments and prints what a recorded FVP session looks like,
# with the model's banner around the UART's output.
_FAKE_FVP = """#!{python}
import pathlib, sys
pathlib.Path({arguments!r}).write_text("\\n".join(sys.argv[1:]))
assert pathlib.Path("model.package").read_bytes() == b"package"
sys.stdout.write({output!r})
"""


def fake_fvp(directory: Path, output: str) -> Path:
    executable = directory / "FVP_Corstone_SSE-300_Ethos-U55"
    arguments = str(directory / "arguments")
    executable.write_text(
        _FAKE_FVP.format(python=sys.executable, arguments=arguments, output=output)
    )
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
    return executable


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    path = tmp_path / "enhancer.elf"
    path.write_bytes(b"\x7fELF")
    return path


def test_the_run_is_told_and_read(tmp_path: Path, firmware: Path) -> None:
    output = console(START, MODEL, SUMMARY, end(0))
    board = FvpBoard(firmware, 256, fake_fvp(tmp_path, output))
    log = run_command(board, b"package", "benchmark 3")
    assert log.summary is not None
    assert log.summary.npu_active_cycles == 18
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert arguments[:4] == ["-a", str(firmware), "--data", "model.package@0x90000000"]
    settings = dict(word.split("=", 1) for word in arguments[5::2])
    assert set(arguments[4::2]) == {"-C"}
    assert settings["ethosu.num_macs"] == "256"
    assert settings["cpu0.semihosting-cmd_line"] == "benchmark 3"
    assert settings["mps3_board.uart0.shutdown_on_eot"] == "1"
    assert settings["mps3_board.uart0.out_file"] == "-"


def test_silence_is_an_error(tmp_path: Path, firmware: Path) -> None:
    board = FvpBoard(firmware, executable=fake_fvp(tmp_path, ""))
    with pytest.raises(BoardError, match="exit code 0 before the firmware had ended.*nothing"):
        run_command(board, b"package", "benchmark")


def test_absent_fvp_tells_how_to_get_it(
    firmware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(BoardError, match=r"Ecosystem FVP.*docker/build\.sh"):
        find_fvp()
    with pytest.raises(BoardError, match="nowhere"):
        find_fvp(tmp_path / "nowhere")


def test_absent_firmware_tells_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="make firmware"):
        run_command(FvpBoard(tmp_path / "none.elf"), b"package", "benchmark")
