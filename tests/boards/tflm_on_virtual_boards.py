"""The tflm engine on every virtual board: TensorFlow Lite Micro, CMSIS-NN and Arm's driver.

Needs images built with TensorFlow Lite Micro, whose sources are on neither PyPI nor Debian, so
pytest collects it only by name: `make firmware-tflm-test`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled_enhancer import Compiled
from on_virtual_board import BUILD, SHIPPED_MODELS, SOURCES, Scripted, error_of, seal

from pipeline.boards import PLUGIN
from pipeline.boards.board import run_command
from pipeline.boards.deployment import CompileTarget, Engine, package_model
from pipeline.boards.engines import (
    PROCESSORS,
    Processor,
    check,
    engines_of,
    firmware_of,
    open_board,
)
from pipeline.boards.mps2 import Mps2Board
from pipeline.boards.npu_server import Completion, Status
from pipeline.boards.package import pack_tflite_model
from pipeline.boards.protocol import FirmwareLog
from pipeline.boards.virtual import VirtualBoard
from pipeline.deployed import Deployed
from pipeline.runners.tflm import TflmRunner

TARGET = CompileTarget()
MODEL = min(SHIPPED_MODELS, key=lambda path: path.stat().st_size)
PLACES = [
    (engine, processor)
    for processor in PROCESSORS
    for engine in engines_of(processor)
    if engine != "npu"
]


@pytest.mark.parametrize(("engine", "processor"), PLACES)
@pytest.mark.parametrize("model", SHIPPED_MODELS, ids=lambda path: path.stem)
def test_shipped_models_enhance_speech_as_on_the_host(
    model: Path, engine: Engine, processor: Processor
) -> None:
    row = check(model, engine, processor, TARGET, hops=12)
    assert (row.mask_values, row.differing_values) == (13 * 128, 0)
    assert row.sample_steps <= 1
    # Counters are read before Arm's driver lets the NPU sleep.
    assert (row.npu_cycles > 0) == (engine == "tflm")


def packed(engine: Engine, directory: Path) -> bytes:
    deployed = Deployed.load(MODEL)
    return package_model(
        deployed, directory, TARGET, engine=engine, front_end=deployed.front_end
    ).content


def run_hops(board: Mps2Board | VirtualBoard, engine: Engine, directory: Path) -> FirmwareLog:
    """Three hops of silence."""
    (directory / "model.package").write_bytes(packed(engine, directory))
    (directory / "inputs.bin").write_bytes(bytes(3 * 128))
    return FirmwareLog.parse(board.run(directory, "run inputs.bin outputs.bin"))


def test_a_job_that_arms_driver_gives_up_is_an_error(tmp_path: Path) -> None:
    npu = Scripted(Completion(Status.BUS_FAULT, 10), healthy_jobs=2)
    board = VirtualBoard(firmware_of("tflm", "cortex-m55"), PLUGIN, npu=npu)
    log = run_hops(board, "tflm", tmp_path)
    assert error_of(log) == "tflm_invoke"
    assert log.summary is not None
    assert log.summary.hops == 2


def test_a_job_that_never_ends_is_a_timeout(tmp_path: Path) -> None:
    npu = Scripted(Completion(Status(0), None), healthy_jobs=2)
    board = VirtualBoard(firmware_of("tflm", "cortex-m55"), PLUGIN, npu=npu)
    assert error_of(run_hops(board, "tflm", tmp_path)) == "npu_timeout"


def test_arms_driver_calls_the_boards_cache_functions() -> None:
    """The driver's own do nothing, and are weak."""
    library = firmware_of("tflm", "cortex-m55").parents[2] / "libenhancer.a"
    listing = subprocess.run(
        ["arm-none-eabi-nm", library], capture_output=True, text=True, check=True
    ).stdout
    for function in ("ethosu_flush_dcache", "ethosu_invalidate_dcache"):
        assert f" T {function}\n" in listing


@pytest.mark.parametrize("processor", [name for name in PROCESSORS if name != "cortex-m55"])
def test_what_is_compiled_for_an_npu_needs_one(tmp_path: Path, processor: Processor) -> None:
    content = packed("tflm", tmp_path)
    log = run_command(open_board("tflm-cpu", processor, TARGET), content, "benchmark")
    assert error_of(log) == "npu_absent"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_an_operator_that_is_not_linked_is_an_error(
    compiled: Compiled, processor: Processor
) -> None:
    runner = TflmRunner(compiled.tflite)
    package = pack_tflite_model(compiled.tflite, runner, compiled.front_end)
    log = run_command(open_board("tflm-cpu", processor, TARGET), package.content, "benchmark")
    assert error_of(log) == "tflm_operator"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_a_damaged_file_is_refused(tmp_path: Path, processor: Processor) -> None:
    content = bytearray(packed("tflm-cpu", tmp_path))
    start = content.index(b"TFL3") - 4
    content[start : start + 4] = np.uint32(0x7FFFFFFF).tobytes()
    log = run_command(open_board("tflm-cpu", processor, TARGET), seal(content), "benchmark")
    assert error_of(log) == "tflm_schema"


def test_an_arena_that_is_too_small_is_an_error_with_the_interpreters_words(tmp_path: Path) -> None:
    image = firmware_of("tflm-cpu", "cortex-m4")
    cache = (BUILD / "mps2-m4" / "CMakeCache.txt").read_text().splitlines()
    known = [f"-D{line}" for line in cache if line.startswith(("TFLM_", "CMSIS_DSP", "Python3_EX"))]
    build = tmp_path / "build"
    for arena, error in (("32K", None), ("1K", "arena_too_small")):
        configure = ["cmake", "-S", SOURCES, "-B", build, "--preset", "mps2-m4", *known]
        subprocess.run([*configure, f"-DARENA_BYTES={arena}"], check=True, capture_output=True)
        subprocess.run(["cmake", "--build", build], check=True, capture_output=True)
        built = build / image.resolve().relative_to(BUILD / "mps2-m4")
        log = run_hops(Mps2Board(built, "cortex-m4"), "tflm-cpu", tmp_path)
        assert (log.error.name if log.error else None) == error
        assert bool(log.messages) == (error is not None)
