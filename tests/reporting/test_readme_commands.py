"""The commands of the README do what it shows."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path.cwd()
# A run's training is cut short here; the options say nothing that the command itself does not.
SHORT = {
    "docs/examples/my_enhancer.toml": [
        *("--train.steps=4", "--train.warmup-steps=2", "--train.validate-every=4"),
        *("--train.batch-size=4", "--compress.steps=4", "--compress.validate-every=4"),
        "--compress.prune-every=1",
    ]
}


def shown() -> list[tuple[str, list[str]]]:
    """Every command after a `$`, in order, with the lines that follow it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```\n(.*?)^```", readme, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and "$ " in block:
                found[-1][1].append(line)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a newcomer stands in: the project's files, and a recording."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("docs", "tflite_models", "configs"):
        (folder / name).symlink_to(ROOT / name)
    noise = np.random.default_rng(0).standard_normal((3 * 44_100, 2))
    soundfile.write(folder / "noisy.wav", 0.05 * noise, 44_100)
    return folder


@pytest.mark.parametrize(("command", "output"), shown(), ids=lambda value: str(value)[:60])
def test_a_command_runs_and_prints_lines_like_these(
    command: str, output: list[str], folder: Path
) -> None:
    said = run(command, folder)
    for line in output:
        if line.strip() != "...":
            assert any(re.fullmatch(like(line), other) for other in said.splitlines()), line


def run(command: str, folder: Path) -> str:
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words[: words.index("python")])
    arguments = words[words.index("python") + 1 :]
    if "PYTHONPATH" in variables:
        variables["PYTHONPATH"] = os.pathsep.join((variables["PYTHONPATH"], str(ROOT)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    result = subprocess.run(
        [sys.executable, *arguments, *SHORT.get(arguments[-1], [])],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    return result.stdout


def like(line: str) -> str:
    """A pattern of the line's words, whatever its numbers are: those are another machine's."""
    return re.sub(r"\d+(?:\\\.\d+)?", r"[0-9.]+", re.escape(line))
