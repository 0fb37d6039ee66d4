"""A test that did not run is not green where all have to."""

import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = {
    "test": "def test_it():\n    pytest.skip('no tool')",
    "mark": "@pytest.mark.skip(reason='no tool')\ndef test_it():\n    pass",
    "fixture": (
        "@pytest.fixture\ndef tool():\n    pytest.skip('no tool')\ndef test_it(tool):\n    pass"
    ),
    "file": "pytest.importorskip('no_such_tool', reason='no tool')\ndef test_it():\n    pass",
}


def outcome(folder: Path, body: str, *options: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(f"import pytest\n{body}\ndef test_more():\n    pass\n")
    # The conftest.py of the project as a plugin: this folder is not below it.
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-n0"]
    done = subprocess.run(
        [*command, f"--rootdir={folder}", *options, folder / "test_it.py"],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("where", SKIPPED)
def test_skipped_is_not_green(where: str, tmp_path: Path) -> None:
    code, said = outcome(tmp_path, SKIPPED[where])
    assert code == (5 if where == "file" else 0), said
    code, said = outcome(tmp_path, SKIPPED[where], "--no-skips")
    assert code in (1, 2), said
    assert "not run, which --no-skips does not allow: " in said and "no tool" in said


def test_an_expected_failure_stays_one(tmp_path: Path) -> None:
    body = "@pytest.mark.xfail\ndef test_it():\n    assert False"
    assert outcome(tmp_path, body, "--no-skips")[0] == 0
