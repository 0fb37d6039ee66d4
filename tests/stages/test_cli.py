"""What a command line shows of an error."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artefacts import ArtefactError
from pipeline.cli import reported_errors
from pipeline.config import ConfigError
from pipeline.errors import InputError
from pipeline.ethosu.errors import ModelError, OptionError


def opened(path: str) -> Callable[[], object]:
    return lambda: open(path)


def raised(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (raised(InputError("x.wav: silent")), "x.wav: silent"),
        (raised(ConfigError("unknown setting")), "unknown setting"),
        (raised(ArtefactError("no card")), "no card"),
        (raised(ModelError("not compiled")), "not compiled"),
        (raised(OptionError("unknown accelerator")), "unknown accelerator"),
        (opened("/nowhere/at all"), "[Errno 2] No such file or directory: '/nowhere/at all'"),
    ],
)
def test_foreseen_errors_are_one_line(
    fail: Callable[[], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop, reported_errors():
        fail()
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {said}\n"


@pytest.mark.parametrize("error", [ValueError("shapes"), OSError(28, "no space"), KeyError("x")])
def test_other_errors_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)) as kept, reported_errors():
        raise error
    assert kept.value is error


def test_an_interrupt_ends_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop, reported_errors():
        interrupted()
    assert stop.value.code == 130 and capsys.readouterr().err == ""


def test_debug_keeps_every_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "--debug"])
    with pytest.raises(InputError), reported_errors():
        raise InputError("x.wav: silent")


def test_debug_is_an_option_of_every_stage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.convert", f"--run-dir={tmp_path}"]
    short, long = (
        subprocess.run([*command, *options], capture_output=True, text=True)
        for options in ([], ["--debug"])
    )
    assert short.returncode == 2
    said = short.stderr.splitlines()[-1]
    assert said.startswith("error: ") and "Traceback" not in short.stderr
    assert "Traceback" in long.stderr
    assert long.stderr.splitlines()[-1].endswith(said.removeprefix("error: "))
