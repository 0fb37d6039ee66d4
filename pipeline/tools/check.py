"""Checks any integer TFLite model on the Ethos-U55: what runs there, exactly, how fast, how big.

python -m pipeline.check model.tflite
python -m pipeline.check model.tflite --accelerator all --memory-mode Sram_Only --sram-kib 512 \\
    --flash-kib 2048 --html check.html

The model is compiled with Vela. Conversions from and to float at its ends are cut off, operators
that stay on the CPU are named with Vela's reason, and every part for the NPU runs in the bit-exact
emulator beside the reference kernels of TFLite Micro and TFLite, on random inputs, on the edges of
the types, and on those given. Exit code 0: all of it runs on the NPU, equals a reference, has no
hazards, and fits; 1: something does not; 2: it cannot be checked.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.cli import command_parser, reported_errors
from pipeline.errors import InputError
from pipeline.ethosu import Emulator, MemorySystem, memory_system, vela
from pipeline.ethosu.comparison import ComparedLayer, compare_with_vela
from pipeline.ethosu.cost import ProgramCost
from pipeline.ethosu.errors import ModelError
from pipeline.ethosu.model import VelaModel, load_npu_operators, lost_outputs
from pipeline.ethosu.npu import NPUS
from pipeline.ethosu.stimuli import read_inputs
from pipeline.ethosu.surgery import cut_float_ends, extract
from pipeline.ethosu.uncompiled import read_uncompiled
from pipeline.ethosu.vela_config import DEFAULT_SYSTEM, VelaConfig
from pipeline.ethosu.verification import Verification, stimuli, verify
from pipeline.ethosu.weight_statistics import WeightTensor, weight_tensors
from pipeline.progress import Reporter
from pipeline.tools.check_page import write_page

_QUIET_S = 5.0
_KIB = 1024
_ALL = "all"
_NAMES = {"tflm": "TFLite Micro", "tflite": "TFLite"}


@dataclass(frozen=True)
class PartCheck:
    """One NPU operator of the compiled model: its proof, its hazards, its layers."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    variables: tuple[str, ...]
    verifications: tuple[Verification, ...]
    hazards: tuple[str, ...]
    layers: tuple[ComparedLayer, ...]
    cost: ProgramCost

    @property
    def is_proven(self) -> bool:
        """Equal to one of the references in every element, and free of hazards."""
        return not self.hazards and any(result.is_exact for result in self.verifications)


@dataclass(frozen=True)
class Fit:
    """Bytes needed in one memory and there; `available` is None where no size was given."""

    memory: str
    needed: int
    available: int | None

    @property
    def holds(self) -> bool:
        return self.available is None or self.needed <= self.available


@dataclass(frozen=True)
class Check:
    """All that was found for one accelerator."""

    compiled: vela.CompiledModel
    system: MemorySystem
    removed: tuple[str, ...]
    lost_outputs: tuple[str, ...]
    parts: tuple[PartCheck, ...]
    fits: tuple[Fit, ...]

    @property
    def emulator_cycles(self) -> int:
        """Of all NPU operators, one after the other."""
        return sum(part.cost.counters.cycle for part in self.parts)

    @property
    def passes(self) -> bool:
        """All on the NPU, proven, and small enough."""
        return (
            bool(self.parts)
            and not self.compiled.cpu_operators
            and not self.lost_outputs
            and all(part.is_proven for part in self.parts)
            and all(fit.holds for fit in self.fits)
        )


def check(
    path: Path, accelerator: str, options: argparse.Namespace, scratch: Path, report: Reporter
) -> Check:
    """Compile a model for one accelerator and check everything about it.

    Raises:
        ModelError: it is no integer TFLite model, or a part of it cannot be told apart.
        VelaError: Vela cannot compile it.
        StimulusError: the inputs given do not fit it.
    """
    try:
        cut = cut_float_ends(read_uncompiled(path))
    except ModelError as error:
        raise ModelError(_naming(path, path, error)) from error
    golden = scratch / f"{path.stem}.tflite"
    golden.write_bytes(cut.content)
    systems = VelaConfig.load(options.vela_config)
    try:
        compiled = vela.compile(
            golden, scratch / accelerator, accelerator, options.system_config,
            options.memory_mode, allow_cpu_fallback=True, config=systems,
        )  # fmt: skip
    except vela.VelaError as error:
        raise vela.VelaError(_naming(path, golden, error)) from error
    system = memory_system(options.system_config, options.memory_mode, systems)
    parts = []
    content = compiled.path.read_bytes()
    models = load_npu_operators(content) if _has_npu(compiled) else ()
    lost = lost_outputs(content) if models else ()
    whole = len(models) == 1 and not compiled.cpu_operators
    if options.input and not whole:
        raise InputError(
            f"{path}: {len(models)} parts run on the NPU and {len(compiled.cpu_operators)} "
            "operators on the CPU; --input takes a model that runs there as one"
        )
    for number, model in enumerate(models):
        reference = scratch / f"{path.stem}-part{number}.tflite"
        reference.write_bytes(_part(path, cut.content, model, number))
        title = f"{accelerator}, part {number + 1} of {len(models)}"
        parts.append(
            _check_part(model, number, reference, compiled, system, options, partial(report, title))
        )
    fits = _fits(compiled, system, options)
    return Check(compiled, system, cut.removed, lost, tuple(parts), fits)


def _naming(path: Path, used: Path, error: Exception) -> str:
    """The error's text with the file the user gave, where it names what was made of it."""
    text = str(error).replace(str(used), str(path))
    return text if str(path) in text else f"{path}: {text}"


def _has_npu(compiled: vela.CompiledModel) -> bool:
    return bool(compiled.flash.command_stream)


def _part(path: Path, content: bytes, model: VelaModel, number: int) -> bytes:
    inputs, outputs = ([spec.name for spec in specs] for specs in (model.inputs, model.outputs))
    try:
        return extract(content, inputs, outputs)
    except ModelError as error:
        raise ModelError(
            f"{path}: NPU operator {number + 1} cannot be cut out of the model to be compared: "
            f"{error}"
        ) from error


def _check_part(
    model: VelaModel,
    number: int,
    reference: Path,
    compiled: vela.CompiledModel,
    system: MemorySystem,
    options: argparse.Namespace,
    report: Callable[[int, int], None],
) -> PartCheck:
    emulator = Emulator(model)
    given = read_inputs(options.input, model.inputs) if options.input else []
    chosen = stimuli(emulator, options.inferences, options.seed, given)
    done = iter(range(1, len(chosen) + 1))
    verifications = verify(emulator, reference, chosen, lambda: report(next(done), len(chosen)))
    cost = emulator.cost(system)
    return PartCheck(
        inputs=tuple(spec.name for spec in model.inputs),
        outputs=tuple(spec.name for spec in model.outputs),
        variables=tuple(spec.name for spec in model.variables),
        verifications=verifications,
        hazards=tuple(map(str, emulator.check())),
        layers=compare_with_vela(cost, compiled.layers, number),
        cost=cost,
    )


def _fits(
    compiled: vela.CompiledModel, system: MemorySystem, options: argparse.Namespace
) -> tuple[Fit, ...]:
    """Constants count where the memory mode puts them."""
    in_sram = system.memory(0).name == "Sram"
    sram = compiled.arena_bytes + (compiled.flash.total if in_sram else 0)
    sizes = (("SRAM", sram, options.sram_kib), ("flash", compiled.flash.total, options.flash_kib))
    return tuple(
        Fit(memory, needed, None if kib is None else kib * _KIB) for memory, needed, kib in sizes
    )


def as_json(result: Check, weights: Sequence[WeightTensor]) -> dict[str, Any]:
    """Everything of `Check` that a program may want, in plain types; cycles and bytes are whole."""
    compiled = result.compiled
    return {
        "accelerator": compiled.accelerator,
        "system_config": compiled.system_config,
        "memory_mode": compiled.memory_mode,
        "passes": result.passes,
        "float_ends_cut_off": list(result.removed),
        "lost_outputs": list(result.lost_outputs),
        "cpu_operators": [
            {"operator": operator, "reason": reason}
            for operator, reason in zip(compiled.cpu_operators, compiled.cpu_reasons, strict=True)
        ],
        "cycles": {"vela": compiled.total_cycles, "emulator": result.emulator_cycles},
        "latency_us": {
            "vela": compiled.latency_us,
            "emulator": result.emulator_cycles / compiled.clock_hz * 1e6,
        },
        "flash_bytes": asdict(compiled.flash) | {"total": compiled.flash.total},
        "arena_bytes": compiled.arena_bytes,
        "fits": [asdict(fit) | {"holds": fit.holds} for fit in result.fits],
        "weights": [asdict(tensor) | {"sparsity": tensor.sparsity} for tensor in weights],
        "parts": [_part_json(part) for part in result.parts],
    }


def _part_json(part: PartCheck) -> dict[str, Any]:
    return {
        "inputs": list(part.inputs),
        "outputs": list(part.outputs),
        "variables": list(part.variables),
        "proven": part.is_proven,
        "verifications": [
            asdict(result) | {"exact": result.is_exact} for result in part.verifications
        ],
        "hazards": list(part.hazards),
        "layers": [
            {
                "name": row.estimate.name,
                "operator": row.estimate.operator,
                "npu_operator": row.estimate.npu_operator,
                "vela_cycles": row.estimate.cycles,
                "emulator_cycles": row.cycles,
                "macs": sum(cost.macs for cost in row.operations),
            }
            for row in part.layers
        ],
        "counters": asdict(part.cost.counters),
    }


def describe(path: Path, result: Check, weights: Sequence[WeightTensor]) -> Iterator[str]:
    """The same as text."""
    compiled = result.compiled
    yield f"{path}, {compiled.accelerator}, {result.system.name}"
    for name in result.removed:
        yield f"  cut off at a float end: {name}"
    for name in result.lost_outputs:
        yield f"  LOST OUTPUT: {name}: Vela fused the operator that makes it into the next one"
    for operator, reason in zip(compiled.cpu_operators, compiled.cpu_reasons, strict=True):
        yield f"  on the CPU: {operator}: {reason}"
    if not result.parts:
        in_floats = any("Float32" in reason for reason in compiled.cpu_reasons)
        hint = ": it computes in floating point; quantize it to full integers first"
        yield "  nothing of it runs on the NPU" + (hint if in_floats else "")
    for number, part in enumerate(result.parts):
        yield from _describe_part(number, part, len(result.parts))
    clock_mhz = compiled.clock_hz / 1e6
    yield (
        f"  total: {compiled.total_cycles} cycles by Vela, {result.emulator_cycles} by the "
        f"emulator's model ({result.emulator_cycles / clock_mhz:.0f} us at {clock_mhz:.0f} MHz)"
    )
    flash = compiled.flash
    yield (
        f"  flash: {flash.total} bytes (weights {flash.weights}, scales {flash.scales}, tables "
        f"{flash.lookup_tables}, other {flash.other}, commands {flash.command_stream}); arena: "
        f"{compiled.arena_bytes} bytes"
    )
    for fit in result.fits:
        if fit.available is not None:
            verdict = "fits" if fit.holds else "DOES NOT FIT"
            yield f"  {fit.memory}: {fit.needed} of {fit.available} bytes: {verdict}"
    yield f"  {'weights':40s}{'shape':>18s}{'type':>7s}{'zeros':>8s}{'distinct':>10s}"
    for tensor in weights:
        shape = "x".join(map(str, tensor.shape))
        yield (
            f"  {tensor.name[-39:]:40s}{shape:>18s}{tensor.dtype:>7s}{tensor.sparsity:8.1%}"
            f"{tensor.distinct_values:10d}"
        )
    for tensor in weights:
        if tensor.is_offset:
            yield (
                f"  {tensor.name}: weights with zero points other than 0, which TFLite's int8 "
                "convolutions take for 0 and Vela subtracts: quantize weights symmetrically"
            )
    yield f"  {'PASSED' if result.passes else 'NOT PASSED'}"


def _describe_part(number: int, part: PartCheck, count: int) -> Iterator[str]:
    if count > 1:
        ends = f"{', '.join(part.inputs)} -> {', '.join(part.outputs)}"
        yield f"  NPU operator {number + 1} of {count}: {ends}"
    if part.variables:
        yield f"  keeps state in {', '.join(part.variables)}"
    for result in part.verifications:
        for kind, tally in result.tallies.items():
            yield f"  against {_NAMES[result.reference]}, {kind}: {tally}"
        for kind, reason in result.failures.items():
            yield f"  against {_NAMES[result.reference]}, {kind}: {reason}"
    exact = [_NAMES[result.reference] for result in part.verifications if result.is_exact]
    yield f"  exact: equal to {' and '.join(exact)}" if exact else "  NOT PROVEN exact"
    yield from (f"  hazard: {hazard}" for hazard in part.hazards)
    if not part.hazards:
        yield "  no hazards"
    yield f"  {'layer':40s}{'operation':>18s}{'vela':>10s}{'emulator':>10s}{'difference':>12s}"
    for row in part.layers:
        yield (
            f"  {row.estimate.name[-39:]:40s}{row.estimate.npu_operator:>18s}"
            f"{row.estimate.cycles:10d}{row.cycles:10d}{row.difference:+12.1%}"
        )


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code is explained above."""
    options = _parse(arguments)
    names = list(NPUS) if options.accelerator == _ALL else [options.accelerator]
    with (
        reported_errors(),
        tempfile.TemporaryDirectory() as scratch,
        Reporter(_QUIET_S) as report,
    ):
        results = [check(options.model, name, options, Path(scratch), report) for name in names]
        weights = weight_tensors(read_uncompiled(options.model))
        if options.html:
            write_page(options.html, options.model.name, results, weights)
    if options.json:
        print(json.dumps([as_json(result, weights) for result in results], indent=1))
    else:
        for result in results:
            print("\n".join(describe(options.model, result, weights)))
    return 0 if all(result.passes for result in results) else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = command_parser("pipeline.check", __doc__)
    parser.add_argument("model", type=Path, help="uncompiled .tflite")
    parser.add_argument("--accelerator", choices=[*NPUS, _ALL], default="ethos-u55-128")
    parser.add_argument("--system-config", default=DEFAULT_SYSTEM, help="default: %(default)s")
    parser.add_argument("--memory-mode", default="Shared_Sram", help="default: %(default)s")
    parser.add_argument("--vela-config", type=Path, help="your own vela.ini, on top of Arm's")
    parser.add_argument("--input", type=Path, help=".npy for one input, .npz by tensor name, with "
                        "or without a leading axis of inferences")  # fmt: skip
    parser.add_argument("--inferences", type=_positive, default=20, help="random ones (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of random inputs")
    parser.add_argument("--sram-kib", type=_positive, help="SRAM there is; must hold the arena")
    parser.add_argument("--flash-kib", type=_positive, help="flash there is for the model")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--html", type=Path, help="write a page with tables and a timeline")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
