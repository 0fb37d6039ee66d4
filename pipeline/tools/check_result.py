"""What a check found: as JSON data, as text, and the tables that text and page share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.ethosu import MemorySystem, vela
from pipeline.ethosu.comparison import ComparedLayer
from pipeline.ethosu.cost import ProgramCost
from pipeline.ethosu.verification import Verification
from pipeline.ethosu.weight_statistics import WeightTensor
from pipeline.reporting.table import Table

NAMES = {"tflm": "TFLite Micro", "tflite": "TFLite"}
# Names of layers are paths in their network; the end tells most.
_WORD_CHARACTERS = 40


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
        "flash_bytes": asdict(compiled.flash),
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
    yield from weights_table(weights).text(_WORD_CHARACTERS)
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
            yield f"  against {NAMES[result.reference]}, {kind}: {tally}"
        for kind, reason in result.failures.items():
            yield f"  against {NAMES[result.reference]}, {kind}: {reason}"
    exact = [NAMES[result.reference] for result in part.verifications if result.is_exact]
    yield f"  exact: equal to {' and '.join(exact)}" if exact else "  NOT PROVEN exact"
    yield from (f"  hazard: {hazard}" for hazard in part.hazards)
    if not part.hazards:
        yield "  no hazards"
    yield from layers_table(part).text(_WORD_CHARACTERS)


def weights_table(weights: Sequence[WeightTensor]) -> Table:
    """Zeros and distinct values of every weight tensor."""
    rows = (
        (
            tensor.name,
            "x".join(map(str, tensor.shape)),
            tensor.dtype,
            f"{tensor.sparsity:.1%}",
            f"{tensor.distinct_values:,}",
        )
        for tensor in weights
    )
    return Table.of(
        "Weight tensors", ("weights", "shape", "type", "zeros", "distinct values"), rows, texts=3
    )


def layers_table(part: PartCheck) -> Table:
    """Cycles of every layer by both models."""
    rows = (
        (
            row.estimate.name,
            row.estimate.npu_operator,
            f"{row.estimate.cycles:,}",
            f"{row.cycles:,}",
            f"{row.difference:+.1%}",
        )
        for row in part.layers
    )
    return Table.of(
        "Cycles by layer", ("layer", "operation", "vela", "emulator", "difference"), rows, texts=2
    )
