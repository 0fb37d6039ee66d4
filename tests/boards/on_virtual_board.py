"""The firmware on the virtual board and as a sanitized program of this machine.

Needs the firmware build and QEMU, so pytest collects it only by name: `make firmware-test`.
"""

from __future__ import annotations

import dataclasses
import io
import struct
import subprocess
import sys
import time
import zlib
from hashlib import sha256
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
from compiled_enhancer import Compiled
from enhancer_model import BANDS
from numpy.typing import NDArray

from pipeline.boards.agreement import compare_with_host
from pipeline.boards.arm_check import compare
from pipeline.boards.arm_runner import ArmRunner
from pipeline.boards.board import (
    PACKAGE_FILE,
    BoardError,
    Enhanced,
    benchmark,
    enhance,
    run_command,
)
from pipeline.boards.deployment import package_model
from pipeline.boards.memory_timing import HIGH_END_EMBEDDED
from pipeline.boards.mixtures import board_mixtures
from pipeline.boards.mps2 import Mps2Board, Mps2Processor
from pipeline.boards.npu_model import EmulatedNpu
from pipeline.boards.npu_server import Completion, GuestMemory, NpuServer, Registers, Status
from pipeline.boards.package import (
    GoldenHops,
    ModelPackage,
    pack_npu_model,
    pack_tflite_model,
)
from pipeline.boards.package_layout import WeightsPlacement
from pipeline.boards.packed_weights import pack, parts_of
from pipeline.boards.protocol import FirmwareError, FirmwareLog
from pipeline.boards.qemu import loader, semihosting
from pipeline.boards.virtual import MODEL_ADDRESS, SOCKET_FILE, VirtualBoard, qemu_command
from pipeline.compression.methods.prune_offline import PruneOffline
from pipeline.compression.methods.skip_updates import SkipUpdates
from pipeline.deployed import Deployed
from pipeline.dsp import FrontEnd
from pipeline.ethosu import vela
from pipeline.ethosu.model import load_vela_model
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.groups import remove_masked_units
from pipeline.runners import HopModel, HopStream
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner
from tests.compression.every_method import EVERY, network_for, start, with_needed
from tests.compression.few_steps import trained_with
from tests.networks.agreement_of_views import features, in_integers
from tests.networks.kinds import KINDS, network

SOURCES = Path(__file__).parents[2] / "firmware"
BUILD = Path(__file__).parents[2] / "build" / "firmware"
FIRMWARE = BUILD / "corstone300" / "platform" / "corstone300" / "enhancer.elf"
PLUGIN = BUILD / "host" / "virtual" / "libnpu.so"
SHIPPED_MODELS = sorted((SOURCES.parent / "tflite_models").glob("*.tflite"))
MPS2_FIRMWARE: dict[Mps2Processor, Path] = {
    "cortex-m7": BUILD / "mps2-m7" / "platform" / "mps2" / "enhancer.elf",
    "cortex-m4": BUILD / "mps2-m4" / "platform" / "mps2" / "enhancer.elf",
}
HOST_PROGRAM = BUILD / "sanitized" / "platform" / "host" / "enhancer_host"
# The float parts of firmware and pipeline.dsp may differ in their last bits.
AUDIO_LSB = 1
FEATURE_LSB = 1


@pytest.fixture
def board() -> VirtualBoard:
    return VirtualBoard(FIRMWARE, PLUGIN)


@pytest.fixture(scope="session")
def noisy() -> NDArray[np.int16]:
    """Two seconds of modulated noise and tones, not a whole number of hops."""
    rng = np.random.default_rng(4)
    time_s = np.arange(32_077) / 16_000
    audio = 0.1 * rng.standard_normal(len(time_s)) * (1 + np.sin(9 * time_s))
    audio += 0.2 * np.sin(2 * np.pi * (300 + 500 * time_s) * time_s)
    return np.rint(32767 * np.clip(audio, -1, 1)).astype(np.int16)


def package(
    compiled: Compiled,
    placement: WeightsPlacement = WeightsPlacement.FLASH,
    golden: GoldenHops | None = None,
) -> ModelPackage:
    return pack_npu_model(
        compiled.vela,
        compiled.front_end,
        placement=placement,
        golden=golden,
        memory_timing=HIGH_END_EMBEDDED,
    )


def check_against_host(result: Enhanced, compiled: Compiled, noisy: NDArray[np.int16]) -> None:
    """Integers equal the emulator's exactly; float parts equal pipeline.dsp within the bounds."""
    agreement = compare_with_host(result, compiled.emulator, compiled.front_end, noisy)
    assert agreement.mask_values == result.features.size
    assert agreement.mask_mismatches == 0
    assert agreement.feature_steps <= FEATURE_LSB
    assert agreement.sample_steps <= AUDIO_LSB
    assert result.samples.std() > 100


@pytest.mark.parametrize("placement", list(WeightsPlacement))
def test_enhanced_audio_is_that_of_the_host_pipeline(
    board: VirtualBoard,
    compiled: Compiled,
    noisy: NDArray[np.int16],
    placement: WeightsPlacement,
) -> None:
    result = enhance(board, package(compiled, placement), noisy)
    check_against_host(result, compiled, noisy)
    assert result.log.model is not None
    expected = {WeightsPlacement.FLASH: "flash", WeightsPlacement.SRAM_AT_BOOT: "sram"}
    assert result.log.model.weights_placement == expected[placement]
    assert result.log.summary is not None
    assert result.log.summary.hops == len(result.features)
    assert 0 < result.log.summary.stack_used_bytes < result.log.summary.stack_capacity_bytes


def test_offset_and_level_are_followed_as_on_the_host(
    board: VirtualBoard, compiled: Compiled, noisy: NDArray[np.int16]
) -> None:
    front_end = dataclasses.replace(compiled.front_end, conditioned=True)
    conditioned = dataclasses.replace(compiled, front_end=front_end)
    quiet = noisy // 20 + np.int16(1500)
    for recording in (noisy, quiet):
        check_against_host(enhance(board, package(conditioned), recording), conditioned, recording)


def test_16_bit_features_and_masks_work_alike(
    board: VirtualBoard, compiled_int16: Compiled, noisy: NDArray[np.int16]
) -> None:
    result = enhance(board, package(compiled_int16), noisy)
    assert result.features.dtype == np.int16
    check_against_host(result, compiled_int16, noisy)
    benchmark(board, package(compiled_int16, golden=compiled_int16.golden(3)))


def test_earlier_frames_are_kept_for_the_inputs_that_ask_for_them(
    board: VirtualBoard, compiled_delaying: Compiled, noisy: NDArray[np.int16]
) -> None:
    result = enhance(board, package(compiled_delaying), noisy[:8000])
    check_against_host(result, compiled_delaying, noisy[:8000])


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_every_kind_masks_as_on_the_host(
    board: VirtualBoard, kind: str, noisy: NDArray[np.int16], tmp_path: Path
) -> None:
    prune = PruneOffline(do="prune_offline", structure="unit", sparsity=0.4)
    whole = in_integers(network(KINDS[kind](), 3), 3)
    trained = remove_masked_units(prune.start(whole, features(3)))
    assert trained.total("kernel") < whole.total("kernel")
    path = tmp_path / "network.tflite"
    path.write_bytes(to_tflite(trained, "network"))
    front_end = FrontEnd(np.full(32, 0.3, np.float32), np.full(32, 0.2, np.float32))
    compiled = Compiled(path.read_bytes(), vela.compile(path, tmp_path).path, front_end)
    recording = noisy[:8000]
    check_against_host(enhance(board, package(compiled), recording), compiled, recording)


@pytest.mark.parametrize("do", EVERY)
def test_every_method_deploys_what_it_trained(
    board: VirtualBoard, do: str, noisy: NDArray[np.int16], tmp_path: Path
) -> None:
    methods = with_needed(do)
    settings = network_for(methods)
    assert settings is not None
    trained, _ = trained_with(methods, start(settings), 1)
    path = tmp_path / "network.tflite"
    path.write_bytes(to_tflite(trained, "network"))
    front_end = FrontEnd(np.full(32, 0.3, np.float32), np.full(32, 0.2, np.float32))
    compiled = Compiled(path.read_bytes(), vela.compile(path, tmp_path).path, front_end)
    result = enhance(board, package(compiled), noisy[:8000])
    for runner in (compiled.emulator, TfliteRunner(path), TflmRunner(path)):
        np.testing.assert_array_equal(HopStream(runner)(result.features), result.mask)
    roles = HopModel.of(runner)
    heard = runner.inputs[roles.features].dequantize(result.features)
    mask = runner.outputs[roles.mask].dequantize(result.mask)
    np.testing.assert_array_equal(trained.build()(heard[None]).numpy()[0], mask)
    assert len(np.unique(result.mask)) > 5


def test_hops_that_a_gate_lets_pass_do_not_start_the_npu(
    board: VirtualBoard, noisy: NDArray[np.int16], tmp_path: Path
) -> None:
    start = in_integers(network(KINDS["lstm"](), 3), 3)
    gated = SkipUpdates(do="skip_updates", cost=1.0).start(start, features(3))
    moved = {
        "update_gate/kernel": gated.arrays["update_gate/kernel"] * np.float32(60),
        "update_gate/bias": np.full(1, -0.5, np.float32),
    }
    path = tmp_path / "network.tflite"
    path.write_bytes(to_tflite(dataclasses.replace(gated, arrays=gated.arrays | moved), "network"))
    front_end = FrontEnd(np.full(32, 0.3, np.float32), np.full(32, 0.2, np.float32))
    compiled = Compiled(path.read_bytes(), vela.compile(path, tmp_path).path, front_end)
    recording = noisy[:8000]
    result = enhance(board, package(compiled), recording)
    check_against_host(result, compiled, recording)
    stream = HopStream(compiled.emulator)
    stream(result.features)
    hops, summary = len(result.features), result.log.summary
    assert summary is not None
    assert hops / 4 < sum(stream.computed) < 0.9 * hops
    # The first hop is computed: what it takes is what each of the others does.
    single = enhance(board, package(compiled), recording[:256]).log.summary
    assert single is not None and single.hops <= 2
    computed = HopStream(compiled.emulator)
    computed(result.features[: single.hops])
    per_hop = single.npu_total_cycles / sum(computed.computed)
    assert summary.npu_total_cycles == pytest.approx(sum(stream.computed) * per_hop, rel=0.01)


def test_weights_in_sram_leave_the_flash_port_alone(
    board: VirtualBoard, compiled: Compiled
) -> None:
    golden = compiled.golden(3)
    in_flash = benchmark(board, package(compiled, WeightsPlacement.FLASH, golden))
    in_sram = benchmark(board, package(compiled, WeightsPlacement.SRAM_AT_BOOT, golden))
    assert in_flash.summary is not None and in_sram.summary is not None
    assert in_flash.summary.axi1_read_beats > 0
    assert in_sram.summary.axi1_read_beats == 0
    assert in_sram.summary.npu_total_cycles < in_flash.summary.npu_total_cycles


def test_packed_weights_are_unpacked_at_boot(board: VirtualBoard, compiled: Compiled) -> None:
    logs = [
        benchmark(
            board,
            pack_npu_model(
                compiled.vela,
                compiled.front_end,
                placement=WeightsPlacement.SRAM_AT_BOOT,
                packs_weights=packs_weights,
                golden=compiled.golden(3),
            ),
        )
        for packs_weights in (False, True)
    ]
    copied, unpacked = logs
    assert copied.model is not None and unpacked.model is not None
    assert unpacked.model.package_bytes < copied.model.package_bytes
    assert unpacked.model.weights_bytes == copied.model.weights_bytes
    assert unpacked.model.load_ticks > copied.model.load_ticks
    assert unpacked.summary is not None and unpacked.summary.mismatched_bytes == 0
    assert unpacked.summary.axi1_read_beats == 0


def unpacked(section: bytes, folder: Path) -> tuple[int, bytes]:
    """How the firmware's unpacker ended, watched by the sanitizers, and what came out."""
    (folder / "section").write_bytes(section)
    program = [BUILD / "sanitized" / "tests" / "unpack_weights", "section", "weights"]
    done = subprocess.run(program, cwd=folder, capture_output=True, check=False)
    assert b"runtime error" not in done.stderr and b"Sanitizer" not in done.stderr
    return done.returncode, (folder / "weights").read_bytes() if done.returncode == 0 else b""


def test_every_byte_of_packed_weights_comes_out_again(compiled: Compiled, tmp_path: Path) -> None:
    models = [compiled.vela]
    for name in ("unit40-rank64-weight65", "weight95"):
        model = SOURCES.parent / "tflite_models" / f"{name}.tflite"
        models.append(load_vela_model(vela.compile(model, tmp_path, memory_mode="Sram_Only").path))
    for model in models:
        section = pack(model.read_only, parts_of(model))
        code, weights = unpacked(section, tmp_path)
        assert code == 0
        assert sha256(weights).digest() == sha256(model.read_only).digest()
        assert model is compiled.vela or len(section) < 0.8 * len(weights)
        # The last bytes only end the code.
        for bit in np.random.default_rng(1).integers(0, 8 * (len(section) - 4), 20):
            damaged = bytearray(section)
            damaged[bit // 8] ^= 1 << bit % 8
            assert unpacked(damaged, tmp_path)[0] != 0


def test_golden_hops_match_and_runs_repeat_exactly(board: VirtualBoard, compiled: Compiled) -> None:
    packed = package(compiled, golden=compiled.golden(12))
    first = benchmark(board, packed, passes=2)
    assert first.summary is not None
    assert first.summary.hops == 24
    assert (first.summary.compared_bytes, first.summary.mismatched_bytes) == (24 * BANDS, 0)
    assert benchmark(board, packed, passes=2) == first


def build_board(directory: Path, *options: str) -> Path:
    """The board image built with more options of CMake."""
    configure = [
        *("cmake", "-S", SOURCES, "-B", directory / "build", "-G", "Ninja"),
        f"--toolchain={SOURCES / 'cmake' / 'cortex-m55-gcc.cmake'}",
        f"-DCMSIS_DSP_DIR={BUILD / 'cmsis_dsp'}",
        *options,
    ]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", directory / "build"], check=True, capture_output=True)
    return directory / "build" / FIRMWARE.relative_to(BUILD / "corstone300")


def test_a_package_can_be_linked_into_the_image(compiled: Compiled, tmp_path: Path) -> None:
    embedded = tmp_path / "model.package"
    embedded.write_bytes(package(compiled, golden=compiled.golden(2)).content)
    image = build_board(tmp_path, f"-DEMBEDDED_PACKAGE={embedded}")
    with NpuServer(tmp_path / SOCKET_FILE, EmulatedNpu()):
        done = subprocess.run(
            [*qemu_command(PLUGIN, 128, image), *semihosting("benchmark")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0
    log = FirmwareLog.parse(done.stdout)
    assert log.summary is not None
    assert (log.summary.hops, log.summary.mismatched_bytes) == (2, 0)


def error_of(log: FirmwareLog) -> str:
    assert log.error is not None
    assert log.end.exit_code == log.error.code
    return log.error.name


def seal(content: bytearray) -> bytes:
    content[4:8] = struct.pack("<I", zlib.crc32(content[8:]))
    return bytes(content)


def test_damaged_packages_are_reported(board: VirtualBoard, compiled: Compiled) -> None:
    content = package(compiled).content
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 1
    newer = bytearray(content)
    newer[8] = 2
    longer = bytearray(content)
    longer[12:16] = struct.pack("<I", 1 << 30)
    sections = bytearray(content)
    sections[16] = 9
    cases = {
        "package_missing": b"\0" * 64,
        "package_checksum": bytes(damaged),
        "package_version": bytes(newer),
        "package_truncated": bytes(longer),
        "package_malformed": seal(sections),
    }
    for name, case in cases.items():
        assert error_of(run_command(board, case, "benchmark")) == name
    cut = content[: len(content) // 2]
    assert error_of(run_command(board, cut, "benchmark")) == "package_checksum"


def test_a_model_for_another_npu_is_refused(compiled: Compiled) -> None:
    board = VirtualBoard(FIRMWARE, PLUGIN, macs_per_cycle=256)
    log = run_command(board, package(compiled).content, "benchmark")
    assert error_of(log) == "npu_configuration"


def test_a_board_without_npu_is_reported(compiled: Compiled, tmp_path: Path) -> None:
    (tmp_path / PACKAGE_FILE).write_bytes(package(compiled).content)
    command = qemu_command(PLUGIN, 128, FIRMWARE)
    plugin = command.index("-plugin")
    del command[plugin : plugin + 2]
    command += [*loader(PACKAGE_FILE, MODEL_ADDRESS), *semihosting("benchmark")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert error_of(FirmwareLog.parse(done.stdout)) == "npu_absent"


def test_an_engine_that_is_not_there_is_reported(board: VirtualBoard, compiled: Compiled) -> None:
    packed = pack_tflite_model(compiled.tflite, TflmRunner(compiled.tflite), compiled.front_end)
    assert error_of(run_command(board, packed.content, "benchmark")) == "package_no_engine"


def test_an_arena_beyond_sram_is_reported(board: VirtualBoard, compiled: Compiled) -> None:
    content = bytearray(package(compiled).content)
    job = struct.pack("<I", compiled.vela.scratch_bytes) + struct.pack("<I", 0)
    position = content.index(job, 16)
    content[position : position + 4] = struct.pack("<I", 3 << 20)
    log = run_command(board, seal(content), "benchmark")
    assert error_of(log) == "arena_too_small"
    assert log.error is not None
    state_bytes = sum(s.size_bytes for s in compiled.vela.inputs if s.name != "features")
    assert (log.error.expected, log.error.actual) == ((3 << 20) + state_bytes, 2 << 20)


class Scripted:
    """Works for some jobs, then ends each as told."""

    def __init__(self, completion: Completion, healthy_jobs: int) -> None:
        self.completion = completion
        self.healthy_jobs = healthy_jobs
        self.npu = EmulatedNpu()

    def run(self, registers: Registers, memory: GuestMemory) -> Completion:
        self.healthy_jobs -= 1
        return self.npu.run(registers, memory) if self.healthy_jobs >= 0 else self.completion


@pytest.mark.parametrize(
    ("completion", "name"),
    [
        (Completion(Status.BUS_FAULT, 10), "npu_bus_fault"),
        (Completion(Status.COMMAND_ERROR, 10), "npu_command"),
        (Completion(Status.WEIGHT_DECODER_FAULT, 10), "npu_weights"),
        (Completion(Status(0), 10), "npu_command"),
        (Completion(Status(0), None), "npu_timeout"),
    ],
)
def test_npu_faults_are_reported(compiled: Compiled, completion: Completion, name: str) -> None:
    npu = Scripted(completion, healthy_jobs=2)
    board = VirtualBoard(FIRMWARE, PLUGIN, npu=npu)
    log = run_command(board, package(compiled, golden=compiled.golden(4)).content, "benchmark")
    assert error_of(log) == name
    assert log.summary is not None
    assert log.summary.hops == 2


class Stumbling:
    """Fails every third job, having written over the arena."""

    def __init__(self) -> None:
        self.jobs = 0
        self.npu = EmulatedNpu()

    def run(self, registers: Registers, memory: GuestMemory) -> Completion:
        self.jobs += 1
        if self.jobs % 3:
            return self.npu.run(registers, memory)
        memory.write(registers.address(0x88), bytes(256))
        return Completion(Status.BUS_FAULT, 10)


def test_a_hop_that_failed_is_run_again(compiled: Compiled, noisy: NDArray[np.int16]) -> None:
    board = VirtualBoard(FIRMWARE, PLUGIN, npu=Stumbling())
    result = enhance(board, package(compiled), noisy[:5000])
    check_against_host(result, compiled, noisy[:5000])
    assert result.log.summary is not None
    assert result.log.summary.retried_hops == (len(result.features) - 1) // 2


class Unreliable:
    """Fails the third job and its repetition, and takes too long for some others."""

    def __init__(self) -> None:
        self.jobs = 0
        self.npu = EmulatedNpu()

    def run(self, registers: Registers, memory: GuestMemory) -> Completion:
        self.jobs += 1
        if self.jobs in (3, 4):
            return Completion(Status.BUS_FAULT, 10)
        done = self.npu.run(registers, memory)
        late: dict[int, int | None] = {8: 40_000_000, 12: None}
        return dataclasses.replace(done, duration_ns=late.get(self.jobs, done.duration_ns))


def test_a_live_file_goes_on_after_hops_that_fail_or_are_late(
    compiled: Compiled, tmp_path: Path, noisy: NDArray[np.int16]
) -> None:
    (tmp_path / PACKAGE_FILE).write_bytes(package(compiled).content)
    (tmp_path / "in.wav").write_bytes(wav(noisy[:8000]))
    board = VirtualBoard(FIRMWARE, PLUGIN, npu=Unreliable())
    log = FirmwareLog.parse(board.run(tmp_path, "enhance-live in.wav out.wav"))
    log.raise_for_error()
    summary = log.summary
    assert summary is not None
    assert (summary.retried_hops, summary.failed_hops, summary.late_hops) == (1, 1, 2)
    # No hop took longer than it lasts, but for its synthesis and the tick that ends the wait.
    assert summary.max_ticks < 0.020 * log.start.ticks_per_second
    enhanced, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    expected = enhance(VirtualBoard(FIRMWARE, PLUGIN), package(compiled), noisy[:8000]).samples
    assert len(enhanced) == len(expected)
    np.testing.assert_array_equal(enhanced[:256], expected[:256])
    assert np.any(enhanced != expected)


def test_a_corrupt_command_stream_is_an_npu_error(board: VirtualBoard, compiled: Compiled) -> None:
    content = bytearray(package(compiled, golden=compiled.golden(1)).content)
    stream = np.array(compiled.vela.command_words, "<u4").tobytes()
    position = content.index(stream)
    content[position : position + 4] = b"\xff\xff\xff\xff"
    assert error_of(run_command(board, seal(content), "benchmark")) == "npu_command"


UNDEFINED_INSTRUCTION = bytes.fromhex("00de")
# push {r0-r7, lr}; b to the push
ENDLESS_PUSHES = bytes.fromhex("ffb5fde7")


def patched_firmware(firmware: Path, function: str, code: bytes, path: Path) -> Path:
    """A copy of the firmware in which a function begins with other instructions."""
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "--demangle", firmware], capture_output=True, text=True, check=True
    )
    (line,) = [line for line in symbols.stdout.splitlines() if f" T {function}(" in line]
    address = int(line.split()[0], 16) & ~1
    image = bytearray(firmware.read_bytes())
    table, size, count = (
        *struct.unpack_from("<I", image, 28),
        *struct.unpack_from("<HH", image, 42),
    )
    for header in range(table, table + size * count, size):
        _, offset, start, _, length = struct.unpack_from("<5I", image, header)
        if start <= address < start + length:
            position = offset + address - start
            image[position : position + len(code)] = code
    path.write_bytes(image)
    return path


# movw r0, #1; movt r0, #0x3100; bx r0: into SRAM
EXECUTION_OF_DATA = bytes.fromhex("40f20100c3f200100047")
# movw r0, #0; movt r0, #0x1000; str r0, [r0]: into ITCM
WRITE_TO_CODE = bytes.fromhex("40f20000c1f200000060")
# movw r0, #0; movt r0, #0x7000; ldr r0, [r0]: memory that nothing uses
READ_OF_FOREIGN_MEMORY = bytes.fromhex("40f20000c7f200000068")


@pytest.mark.parametrize(
    ("code", "fault_bit"),
    [
        (UNDEFINED_INSTRUCTION, 1 << 16),
        (ENDLESS_PUSHES, 1 << 20),
        (EXECUTION_OF_DATA, 1 << 0),
        (WRITE_TO_CODE, 1 << 1),
        (READ_OF_FOREIGN_MEMORY, 1 << 1),
    ],
)
def test_processor_faults_are_reported(
    compiled: Compiled, tmp_path: Path, code: bytes, fault_bit: int
) -> None:
    image = patched_firmware(FIRMWARE, "enhancer::benchmark", code, tmp_path / "patched.elf")
    board = VirtualBoard(image, PLUGIN)
    log = run_command(board, package(compiled, golden=compiled.golden(1)).content, "benchmark")
    assert error_of(log) == "cpu_fault"
    assert log.cpu_fault is not None
    assert log.cpu_fault.cfsr & fault_bit


# movw r0, #1; movt r0, #0x2000; bx r0: into RAM
MPS2_EXECUTION_OF_DATA = bytes.fromhex("40f20100c2f200000047")
# movw r0, #0; movt r0, #0x10; bx r0: into a model package
MPS2_EXECUTION_OF_A_MODEL = bytes.fromhex("40f20100c0f210000047")
# movw r0, #0; movt r0, #0; str r0, [r0]: into flash
MPS2_WRITE_TO_CODE = bytes.fromhex("40f20000c0f200000060")


@pytest.mark.parametrize("processor", get_args(Mps2Processor))
@pytest.mark.parametrize(
    ("code", "fault_bits"),
    [
        (UNDEFINED_INSTRUCTION, 1 << 16),
        (ENDLESS_PUSHES, 1 << 4 | 1 << 1),  # The guard below the stack.
        (MPS2_EXECUTION_OF_DATA, 1 << 0),
        (MPS2_EXECUTION_OF_A_MODEL, 1 << 0),
        (MPS2_WRITE_TO_CODE, 1 << 1),
        (READ_OF_FOREIGN_MEMORY, 1 << 1),
    ],
)
def test_processors_without_npu_report_faults_too(
    tmp_path: Path, processor: Mps2Processor, code: bytes, fault_bits: int
) -> None:
    firmware = MPS2_FIRMWARE[processor]
    image = patched_firmware(firmware, "enhancer::parse_package", code, tmp_path / "patched.elf")
    log = run_command(Mps2Board(image, processor), b"", "benchmark")
    assert error_of(log) == "cpu_fault"
    assert log.cpu_fault is not None
    assert log.cpu_fault.cfsr & fault_bits


@pytest.mark.parametrize("processor", get_args(Mps2Processor))
def test_processors_without_npu_refuse_what_is_compiled_for_one(
    compiled: Compiled, processor: Mps2Processor
) -> None:
    board = Mps2Board(MPS2_FIRMWARE[processor], processor)
    log = run_command(board, package(compiled, golden=compiled.golden(1)).content, "benchmark")
    assert error_of(log) == "package_no_engine"
    assert (log.start.board, log.start.ticks_per_second) == ("mps2", 25_000_000)


def test_memories_are_chosen_when_the_image_is_built(compiled: Compiled, tmp_path: Path) -> None:
    options = ("-DSTACKS_REGION=SRAM", "-DSTACK_BYTES=12K", "-DARENA_BYTES=64K")
    image = build_board(tmp_path, *options)
    listing = subprocess.run(
        ["arm-none-eabi-nm", image], capture_output=True, text=True, check=True
    )
    symbols = {words[2]: int(words[0], 16) for words in map(str.split, listing.stdout.splitlines())
               if len(words) == 3}  # fmt: skip
    assert symbols["linker_stack_top"] - symbols["linker_stack_limit"] == 12 << 10
    assert symbols["linker_arena_end"] - symbols["linker_arena_start"] == 64 << 10
    assert symbols["linker_stack_top"] >> 24 == symbols["linker_arena_start"] >> 24 == 0x31
    log = benchmark(VirtualBoard(image, PLUGIN), package(compiled, golden=compiled.golden(2)))
    assert log.model is not None and log.summary is not None
    assert log.model.arena_capacity_bytes == 64 << 10
    assert log.summary.stack_capacity_bytes == 12 << 10


def test_golden_mismatch_and_usage_are_reported(board: VirtualBoard, compiled: Compiled) -> None:
    golden = compiled.golden(2)
    golden.mask[1, 5] ^= 1
    log = run_command(board, package(compiled, golden=golden).content, "benchmark")
    assert error_of(log) == "golden_mismatch"
    assert log.summary is not None
    assert log.summary.mismatched_bytes == 1
    content = package(compiled).content
    assert error_of(run_command(board, content, "benchmark")) == "golden_missing"
    assert error_of(run_command(board, content, "dance")) == "usage"
    assert error_of(run_command(board, content, "enhance absent.wav out.wav")) == "file_open"


def wav(audio: NDArray[np.int16], rate_hz: int = 16_000, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


SECOND = np.ones(16_000, np.int16)


@pytest.mark.parametrize(
    ("content", "name", "actual"),
    [
        (b"no sound", "wav_malformed", 0),
        (wav(SECOND)[:40], "wav_malformed", 0),
        (wav(SECOND)[:-2], "file_read", 15_999),
        (wav(SECOND, rate_hz=44_100), "wav_rate", 44_100),
        (wav(SECOND.reshape(-1, 2)), "wav_channels", 2),
        (wav(SECOND, subtype="PCM_U8"), "wav_bits", 8),
        (wav(SECOND, subtype="DOUBLE"), "wav_bits", 64),
        (wav(SECOND, subtype="ULAW"), "wav_encoding", 7),
    ],
    ids=["text", "header_only", "cut", "rate", "stereo", "8_bits", "double", "u_law"],
)
def test_bad_wav_files_are_reported(
    board: VirtualBoard,
    compiled: Compiled,
    tmp_path: Path,
    content: bytes,
    name: str,
    actual: int,
) -> None:
    (tmp_path / PACKAGE_FILE).write_bytes(package(compiled).content)
    (tmp_path / "in.wav").write_bytes(content)
    log = FirmwareLog.parse(board.run(tmp_path, "enhance in.wav out.wav"))
    assert error_of(log) == name
    assert log.error is not None
    assert log.error.actual == actual


@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_every_encoding_of_a_recording_gives_the_same_audio(
    board: VirtualBoard,
    compiled: Compiled,
    tmp_path: Path,
    noisy: NDArray[np.int16],
    format: str,
    subtype: str,
) -> None:
    (tmp_path / PACKAGE_FILE).write_bytes(package(compiled).content)
    samples = noisy[:5000].astype(np.float32) / np.float32(32768)
    soundfile.write(tmp_path / "in.wav", samples, 16_000, subtype, format=format)
    FirmwareLog.parse(board.run(tmp_path, "enhance in.wav out.wav")).raise_for_error()
    enhanced, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    expected = enhance(board, package(compiled), noisy[:5000]).samples
    np.testing.assert_array_equal(enhanced, expected)


def test_pipelined_audio_is_the_same_while_the_cpu_waits_less(
    board: VirtualBoard, compiled: Compiled, tmp_path: Path, noisy: NDArray[np.int16]
) -> None:
    waited, results = [], []
    for command in ("enhance", "enhance-pipelined"):
        directory = tmp_path / command
        directory.mkdir()
        (directory / PACKAGE_FILE).write_bytes(package(compiled).content)
        (directory / "in.wav").write_bytes(wav(noisy[:8000]))
        log = FirmwareLog.parse(board.run(directory, f"{command} in.wav out.wav trace"))
        log.raise_for_error()
        assert log.summary is not None
        waited.append(log.summary.inference_ticks / log.summary.hops)
        results.append([(directory / name).read_bytes() for name in ("out.wav", "trace")])
    assert results[0] == results[1]
    assert waited[1] < waited[0] / 2


def test_an_output_that_cannot_be_opened_is_reported(
    board: VirtualBoard, compiled: Compiled, tmp_path: Path
) -> None:
    (tmp_path / PACKAGE_FILE).write_bytes(package(compiled).content)
    (tmp_path / "in.wav").write_bytes(wav(SECOND))
    log = FirmwareLog.parse(board.run(tmp_path, "enhance in.wav absent/out.wav"))
    assert error_of(log) == "file_open"


def test_firmware_errors_are_raised_with_their_names(
    board: VirtualBoard, compiled: Compiled
) -> None:
    with pytest.raises(FirmwareError, match="golden_missing"):
        benchmark(board, package(compiled))


def test_missing_products_are_named(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="no firmware there"):
        run_command(VirtualBoard(tmp_path / "no.elf", PLUGIN), b"", "benchmark")
    with pytest.raises(BoardError, match="no plugin there"):
        run_command(VirtualBoard(FIRMWARE, tmp_path / "no.so"), b"", "benchmark")


def test_the_plugin_refuses_what_it_does_not_know(compiled: Compiled) -> None:
    board = VirtualBoard(FIRMWARE, PLUGIN, macs_per_cycle=100)
    with pytest.raises(BoardError, match="macs=100: expected 32, 64, 128 or 256"):
        run_command(board, package(compiled).content, "benchmark")


def random_inputs(compiled: Compiled) -> dict[str, NDArray[np.integer]]:
    rng = np.random.default_rng(9)
    return {
        name: rng.integers(-128, 128, spec.shape).astype(spec.dtype)
        for name, spec in compiled.emulator.inputs.items()
    }


def test_arms_runner_computes_the_same_on_npu_and_cpu(compiled: Compiled) -> None:
    """TFLite Micro and Arm's driver in Arm's image; on the CPU, CMSIS-NN kernels."""
    runner, inputs = ArmRunner(PLUGIN), random_inputs(compiled)
    tflm = TflmRunner(compiled.tflite)
    on_npu = runner.run(compiled.vela_path.read_bytes(), compiled.emulator, inputs)
    on_cpu = runner.run(compiled.tflite, tflm, inputs)
    assert on_npu.metrics["NPU TOTAL"] > 0
    for run, expected in (
        (on_npu, compiled.emulator.step(inputs)),
        (on_cpu, tflm.step(inputs)),
    ):
        assert run.outputs.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(run.outputs[name], values, err_msg=name)


@pytest.mark.parametrize("model", SHIPPED_MODELS, ids=lambda path: path.stem)
def test_shipped_models_compute_tflites_bytes_in_arms_runner(model: Path) -> None:
    for form in compare(model, ArmRunner(PLUGIN), hops=2):
        assert form.compared_bytes > 0
        assert form.differing_bytes == 0, form.form


def test_a_model_for_another_npu_fails_in_arms_runner(compiled: Compiled) -> None:
    with pytest.raises(BoardError, match="Arm's inference runner failed"):
        ArmRunner(PLUGIN, macs_per_cycle=256).run(
            compiled.vela_path.read_bytes(), compiled.emulator, random_inputs(compiled)
        )


@pytest.mark.parametrize("model", SHIPPED_MODELS, ids=lambda path: path.stem)
def test_shipped_models_enhance_speech_as_on_the_host(
    board: VirtualBoard, model: Path, tmp_path: Path
) -> None:
    noisy = board_mixtures(per_snr=1)[0].noisy[:16_000]
    deployed = Deployed.load(model)
    front_end = deployed.front_end
    result = enhance(board, package_model(deployed, tmp_path, front_end=front_end), noisy)
    agreement = compare_with_host(result, TfliteRunner(model), front_end, noisy)
    assert agreement.mask_mismatches == 0
    assert agreement.feature_steps <= FEATURE_LSB
    assert agreement.sample_steps <= AUDIO_LSB


def test_the_sanitized_host_build_runs_the_whole_firmware(
    compiled: Compiled, tmp_path: Path
) -> None:
    (tmp_path / "model.package").write_bytes(package(compiled, golden=compiled.golden(4)).content)
    with NpuServer(tmp_path / "npu", EmulatedNpu()):
        done = subprocess.run(
            [HOST_PROGRAM, "model.package", "npu", "128", "benchmark", "2"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    log = FirmwareLog.parse(done.stdout)
    assert log.summary is not None
    assert (log.summary.hops, log.summary.mismatched_bytes) == (8, 0)


# Starts a board that is not let run, and waits for it; prints its process number once the plugin
# has called.
WAITING_HOST = f"""
import socket, subprocess, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("{SOCKET_FILE}")
listener.listen()
board = subprocess.Popen(sys.argv[1:])
listener.accept()[0].recv(1)
print(board.pid, flush=True)
board.wait()
"""


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_board_ends_with_a_host_that_is_killed(tmp_path: Path) -> None:
    command = [*qemu_command(PLUGIN, 128, FIRMWARE), "-S"]
    host = subprocess.Popen(
        [sys.executable, "-c", WAITING_HOST, *command],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert host.stdout is not None
    with host, host.stdout as lines:
        process = int(lines.readline())
        assert is_running(process)
        host.kill()
    while is_running(process):
        time.sleep(0.05)
