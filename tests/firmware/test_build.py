"""The firmware's own unit tests under sanitizers, and its cross-compilation.

`make firmware-test` does more, and installs what is missing here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "firmware"
TOOLS = ("cmake", "ninja", "g++", "arm-none-eabi-g++")
GOOGLE_TEST = Path("/usr/include/gtest/gtest.h")


@pytest.fixture(scope="module")
def cmsis_dsp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CMSIS-DSP's sources; skips where tools are missing or PyPI is out of reach."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    missing += [] if GOOGLE_TEST.exists() else ["libgtest-dev"]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `make firmware-test` installs them")
    built = SOURCES.parent / "build" / "firmware" / "cmsis_dsp"
    if built.is_dir():
        return built
    fetched = tmp_path_factory.mktemp("third_party") / "cmsis_dsp"
    script = SOURCES / "third_party" / "fetch_cmsis_dsp.py"
    done = subprocess.run([sys.executable, script, fetched], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"CMSIS-DSP cannot be fetched from PyPI: {done.stderr.strip()[-200:]}")
    return fetched


def build(directory: Path, cmsis_dsp: Path, *options: str) -> None:
    configure = ["cmake", "-S", SOURCES, "-B", directory, "-G", "Ninja"]
    for command in (
        [*configure, f"-DCMSIS_DSP_DIR={cmsis_dsp}", *options],
        ["cmake", "--build", directory],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_unit_tests_pass_under_sanitizers(cmsis_dsp: Path, tmp_path: Path) -> None:
    build(tmp_path, cmsis_dsp, "-DSANITIZE=ON", "-DCMAKE_BUILD_TYPE=Debug")
    program = tmp_path / "tests" / "firmware_tests"
    done = subprocess.run([program, "--gtest_brief=1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_the_board_image_links_without_a_warning_or_a_heap(cmsis_dsp: Path, tmp_path: Path) -> None:
    toolchain = SOURCES / "cmake" / "cortex-m55-gcc.cmake"
    build(tmp_path, cmsis_dsp, f"--toolchain={toolchain}")
    image = tmp_path / "platform" / "corstone300" / "enhancer.elf"
    symbols = subprocess.run(
        ["arm-none-eabi-nm", image], capture_output=True, text=True, check=True
    ).stdout
    names = {line.split()[-1] for line in symbols.splitlines()}
    assert "Reset_Handler" in names
    assert names.isdisjoint({"malloc", "_malloc_r", "_sbrk", "_Znwj", "__cxa_throw"})
