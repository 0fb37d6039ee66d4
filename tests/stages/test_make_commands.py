"""The `make` commands of the README, the demo's training cut short."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from little_data import shortened_lists, use_little_data

from pipeline.tools import run

SHORT = shlex.split(
    "--train.steps 2 --train.warmup-steps 1 --train.validate-every 2 --train.batch-size 2 "
    "--compress.steps 4 --compress.validate-every 4 --compress.prune-every 1 --evaluate.workers 1"
)
# The others run in tests of the firmware, and `make test` is what runs this.
ELSEWHERE = {"virtual-demo": "-m pipeline.boards.demo"}


def last_command(target: str) -> str:
    """What a target does once all that it needs is there."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.splitlines()[-1]


def test_commands_of_the_readme_are_those_tested() -> None:
    readme = Path("README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^make ([\w-]+)$", readme, re.MULTILINE)) == {"demo", *ELSEWHERE}
    for target, command in ELSEWHERE.items():
        assert last_command(target).endswith(command)


def test_the_demo_ends_with_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_little_data(monkeypatch, shortened_lists(tmp_path))
    words = shlex.split(last_command("demo"))
    assert words[1:3] == ["-m", "pipeline.run"]
    folder = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["run", *words[3:], *SHORT, "--run-dir", str(folder)])
    run.main()
    assert "weight80-int8" in (folder / "report" / "report.html").read_text(encoding="utf-8")
