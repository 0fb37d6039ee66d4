"""Compiles a TFLite model for the Ethos-U55 with Arm's Vela, and reads the result exactly.

Sizes come from the compiled file and its command stream; cycles are Vela's own estimate, which
serves its compiler decisions and is not a measurement.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.Model import Model

from .errors import CpuOperatorError, EthosUError, ModelError
from .memory_system import memory_system
from .npu import get_npu
from .operations import ByteRange, Convolution, Dma
from .program import build_program
from .stream import decode_commands, parse_driver_payload
from .uncompiled import read_uncompiled
from .vela_config import ARM, DEFAULT_SYSTEM, VELA_NAME, VelaConfig, check_choice

Optimise = Literal["Performance", "Size"]

_NPU_OPERATOR = b"ethos-u"
_READ_ONLY_REGION = 0
_TIMEOUT_S = 600
# The name comes last because Vela does not quote it, whatever commas it holds.
_LAYER_COLUMNS = (
    "Original Operator,NNG Operator,Target,Staging Usage,Peak% (Staging),Op Cycles,"
    "Network% (cycles),NPU,SRAM AC,DRAM AC,OnFlash AC,OffFlash AC,MAC Count,Network% (MAC),"
    "Util% (MAC),Name"
)
_EXCEPTION = re.compile(r"[\w.]*(?:Error|Exception)\b.*:")
_CPU_REASON = re.compile(r"^Warning \([^)]*\).*, ofm: '(.*)'\nReason: (.*(?:\n.+)*)", re.MULTILINE)
_BEFORE_ACTIVATION = "_act"
_PERF_ROW = re.compile(r'^(\d+),-?\d+,-?\d+,"', re.MULTILINE)
_QUEUE_ROW = re.compile(r"^(\d+),(\d+),(-?\d+),(\d+)$", re.MULTILINE)


class VelaError(EthosUError):
    """Vela refused the model or an option; the text says which, with Vela's own words."""


class CpuFallbackError(CpuOperatorError):
    """Vela left operators to the CPU; `operators` names them."""

    def __init__(self, path: Path, operators: tuple[str, ...]) -> None:
        super().__init__(
            f"{path}: Vela leaves {len(operators)} operators to the CPU: {', '.join(operators)}; "
            "replace them by operators the Ethos-U55 has; python -m pipeline.check says why each "
            "stays there"
        )
        self.operators = operators


@dataclass(frozen=True)
class FlashBytes:
    """What the compiled model keeps in non-volatile memory, in bytes.

    `other` holds constant feature maps and the padding that aligns every part.
    """

    weights: int
    scales: int
    lookup_tables: int
    other: int
    command_stream: int
    total: int

    def __post_init__(self) -> None:
        if min(dataclasses.astuple(self)) < 0:
            raise ValueError(f"sizes are at least 0; got {self}")

    @property
    def constants(self) -> int:
        """What the NPU reads over and over: all but the commands."""
        return self.total - self.command_stream


@dataclass(frozen=True)
class LayerCost:
    """Vela's estimate of one NPU operation; `cycles` is what it adds to the total.

    The other counts overlap in time: the array itself and each memory it waits for. An operation
    with 0 cycles is fused into the one before it. `places` says where its commands are: the NPU
    operator, counted from 0, and the byte offset in its stream of the last command of each group
    that belongs to this row.
    """

    name: str
    operator: str
    npu_operator: str
    cycles: int
    npu_cycles: int
    sram_cycles: int
    dram_cycles: int
    on_chip_flash_cycles: int
    off_chip_flash_cycles: int
    macs: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CompiledModel:
    """A compiled model, where it was compiled for, its exact sizes and estimated cycles.

    `cpu_reasons` are Vela's words on why each of `cpu_operators` stays on the CPU.
    """

    path: Path
    accelerator: str
    system_config: str
    memory_mode: str
    flash: FlashBytes
    arena_bytes: int
    npu_cycles: int
    total_cycles: int
    clock_hz: float
    layers: tuple[LayerCost, ...]
    cpu_operators: tuple[str, ...]
    cpu_reasons: tuple[str, ...]
    source: Literal["vela"] = "vela"

    @property
    def latency_us(self) -> float:
        """Estimated time of one inference at the system configuration's clock."""
        return self.total_cycles / self.clock_hz * 1e6

    def summary(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "source": self.source,
            "accelerator": self.accelerator,
            "system": self.system_config,
            "flash": dataclasses.asdict(self.flash),
            "arena_bytes": self.arena_bytes,
            "npu_cycles": self.npu_cycles,
            "total_cycles": self.total_cycles,
            "clock_hz": self.clock_hz,
            "latency_us": round(self.latency_us, 2),
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
        }


def compile(
    tflite_path: Path,
    out_dir: Path,
    accelerator: str = "ethos-u55-128",
    system_config: str = DEFAULT_SYSTEM,
    memory_mode: str = "Shared_Sram",
    optimise: Optimise = "Performance",
    allow_cpu_fallback: bool = False,
    config: VelaConfig = ARM,
) -> CompiledModel:
    """Write `<out_dir>/<stem>_vela.tflite` and return what it holds and costs.

    Nothing is left in `out_dir` on an error.

    Raises:
        OptionError: unknown accelerator, system, memory mode or strategy, listing the valid ones.
        ModelError: not an uncompiled TFLite model; the text says what it is.
        VelaError: Vela cannot compile the model.
        CpuFallbackError: some operator stays on the CPU and `allow_cpu_fallback` is false.
    """
    get_npu(accelerator)
    memory_system(system_config, memory_mode, config)
    check_choice("optimise", optimise, get_args(Optimise))
    read_uncompiled(tflite_path)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".vela-") as scratch:
        systems = Path(scratch) / "systems.ini"
        systems.write_text(config.text(system_config, memory_mode), encoding="utf-8")
        words = _run_vela(
            tflite_path.resolve(),
            Path(scratch),
            f"--accelerator-config={accelerator}",
            f"--config={systems}",
            f"--system-config={VELA_NAME}",
            f"--memory-mode={VELA_NAME}",
            f"--optimise={optimise}",
            "--verbose-performance",
            "--enable-debug-db",
        )
        built = Path(scratch) / f"{tflite_path.stem}_vela.tflite"
        flash, arena_bytes, cpu_operators = _read_model(built.read_bytes())
        if cpu_operators and not allow_cpu_fallback:
            raise CpuFallbackError(tflite_path, cpu_operators)
        summary = _read_summary(Path(scratch) / f"{tflite_path.stem}_summary_{VELA_NAME}.csv")
        layers = _read_layers(
            Path(scratch) / f"{tflite_path.stem}_per-layer.csv",
            Path(scratch) / f"{tflite_path.stem}_debug.xml",
        )
        path = out_dir / built.name
        os.replace(built, path)
    return CompiledModel(
        path=path,
        accelerator=accelerator,
        system_config=system_config,
        memory_mode=memory_mode,
        flash=flash,
        arena_bytes=arena_bytes,
        npu_cycles=round(float(summary["cycles_npu"])),
        total_cycles=round(float(summary["cycles_total"])),
        clock_hz=float(summary["core_clock"]),
        layers=layers,
        cpu_operators=cpu_operators,
        cpu_reasons=_reasons(words, cpu_operators),
    )


def _run_vela(tflite_path: Path, out_dir: Path, *options: str) -> str:
    """What Vela said."""
    command = [sys.executable, "-m", "ethosu.vela", str(tflite_path), f"--output-dir={out_dir}"]
    try:
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise VelaError(f"{tflite_path}: Vela did not finish within {_TIMEOUT_S} s") from None
    if done.returncode < 0:
        raise VelaError(f"{tflite_path}: Vela crashed ({signal.strsignal(-done.returncode)})")
    if done.returncode:
        raise VelaError(f"{tflite_path}: Vela refuses it: {_last_words(done.stderr, done.stdout)}")
    return done.stdout


def _last_words(stderr: str, stdout: str) -> str:
    """What Vela says in one line, without the traceback around it."""
    lines = [line.strip() for line in (stderr.strip() or stdout.strip()).splitlines()]
    raised = [number for number, line in enumerate(lines) if _EXCEPTION.match(line)]
    return " ".join(" ".join(lines[raised[-1] if raised else -5 :]).split())


def _reasons(words: str, operators: tuple[str, ...]) -> tuple[str, ...]:
    """Vela's reason for each operator, which both name by the tensor it makes.

    What is made before an activation that Vela took apart has that tensor's name and an ending.
    """
    reasons = {
        tensor.removesuffix(_BEFORE_ACTIVATION): " ".join(reason.split())
        for tensor, reason in _CPU_REASON.findall(words)
    }
    silent = "Vela gives no reason"
    return tuple(
        next((r for tensor, r in reasons.items() if operator.endswith(f"({tensor})")), silent)
        for operator in operators
    )


def _read_model(content: bytes) -> tuple[FlashBytes, int, tuple[str, ...]]:
    """Flash split and arena of all NPU operators, and the operators left to the CPU."""
    model = Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    parts = [(0, 0, 0, 0, 0)]
    arena_bytes = 0
    cpu_operators = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        if code.CustomCode() != _NPU_OPERATOR:
            output = graph.Tensors(operator.Outputs(0)).Name().decode()
            cpu_operators.append(f"{_builtin_name(code)} ({output})")
            continue
        stream, constants, scratch = (graph.Tensors(operator.Inputs(i)) for i in range(3))
        parts.append(_split_flash(_bytes_of(model, stream), len(_bytes_of(model, constants))))
        arena_bytes = max(arena_bytes, int(scratch.ShapeAsNumpy().prod()))
    weights, scales, tables, other, commands = map(sum, zip(*parts, strict=True))
    total = weights + scales + tables + other + commands
    flash = FlashBytes(weights, scales, tables, other, commands, total)
    return flash, arena_bytes, tuple(cpu_operators)


def _builtin_name(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return next(n for n, value in vars(BuiltinOperator).items() if value == number)


def _bytes_of(model: Any, tensor: Any) -> bytes:
    buffer = model.Buffers(tensor.Buffer())
    return bytes(buffer.DataAsNumpy()) if buffer.DataLength() else b""


def _split_flash(stream: bytes, read_only_bytes: int) -> tuple[int, int, int, int, int]:
    """The parts of `FlashBytes`: the read-only bytes by what the commands use them as."""
    weights: set[ByteRange] = set()
    scales: set[ByteRange] = set()
    tables: set[ByteRange] = set()
    copies: list[Dma] = []
    for operation in build_program(decode_commands(parse_driver_payload(stream).words)):
        if isinstance(operation, Dma):
            copies.append(operation)
            if operation.destination.internal:
                tables.add(operation.source)
        elif isinstance(operation, Convolution):
            weights.add(_origin(operation.weights, copies))
            scales.add(_origin(operation.scales, copies))
    weight_bytes, scale_bytes, table_bytes = (
        sum(used.length for used in ranges) for ranges in (weights, scales, tables)
    )
    other_bytes = read_only_bytes - weight_bytes - scale_bytes - table_bytes
    if other_bytes < 0:
        raise ModelError(
            f"commands read {read_only_bytes - other_bytes} constant bytes, the model holds "
            f"{read_only_bytes}"
        )
    return weight_bytes, scale_bytes, table_bytes, other_bytes, len(stream)


def _origin(used: ByteRange, copies: list[Dma]) -> ByteRange:
    """Where in the read-only region `used` lies or was copied from, by the last copy onto it."""
    if used.region == _READ_ONLY_REGION:
        return used
    for copy in reversed(copies):
        offset = used.address - copy.destination.address
        inside = offset >= 0 and offset + used.length <= copy.destination.length
        if inside and copy.destination.region == used.region and not copy.destination.internal:
            source = copy.source
            return ByteRange(source.region, source.address + offset, used.length)
    raise ModelError(f"no command copies the {used.length} constant bytes at {used.address:#x}")


def _read_summary(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return next(csv.DictReader(file))


def _read_layers(table: Path, database: Path) -> tuple[LayerCost, ...]:
    if not table.exists():  # Vela writes no table for a model it leaves to the CPU.
        return ()
    lines = table.read_text().splitlines()
    if lines[0] != _LAYER_COLUMNS:
        raise VelaError(f"Vela's per-layer table has columns {lines[0]!r}; this is another version")
    return tuple(_parse_layers(lines[1:], _read_places(database.read_text())))


def _read_places(database: str) -> list[tuple[tuple[int, int], ...]]:
    """`LayerCost.places` of each row, from the tables of Vela's debug database."""
    rows = [int(number) for number in _PERF_ROW.findall(_debug_table(database, "perf"))]
    places: dict[int, list[tuple[int, int]]] = {}
    streams: dict[int, int] = {}
    for group in _QUEUE_ROW.findall(_debug_table(database, "queue")):
        offset, stream, _, row = map(int, group)
        places.setdefault(row, []).append((streams.setdefault(stream, len(streams)), offset))
    return [tuple(places.get(row, ())) for row in rows]


def _debug_table(database: str, name: str) -> str:
    _, found, rest = database.partition(f'<table name="{name}">')
    if not found:
        raise VelaError(f"Vela's debug database has no table {name!r}; this is another version")
    return rest.partition("</table>")[0]


def _parse_layers(
    lines: list[str], places: list[tuple[tuple[int, int], ...]]
) -> Iterator[LayerCost]:
    if len(lines) != len(places):
        raise VelaError(
            f"Vela's per-layer table has {len(lines)} rows, its debug database {len(places)}"
        )
    for line, where in zip(lines, places, strict=True):
        cells = line.split(",", _LAYER_COLUMNS.count(","))
        cycles, _, npu, sram, dram, on_chip, off_chip, macs = map(float, cells[5:13])
        yield LayerCost(
            name=cells[15],
            operator=cells[0],
            npu_operator=cells[1],
            cycles=round(cycles),
            npu_cycles=round(npu),
            sram_cycles=round(sram),
            dram_cycles=round(dram),
            on_chip_flash_cycles=round(on_chip),
            off_chip_flash_cycles=round(off_chip),
            macs=round(macs),
            places=where,
        )
