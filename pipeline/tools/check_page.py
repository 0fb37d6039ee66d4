"""The page of `pipeline.check`: tables and a timeline in one HTML file that fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artefacts import write_atomically
from pipeline.ethosu.trace import chrome_trace
from pipeline.ethosu.weight_statistics import WeightTensor
from pipeline.reporting.html import rendered
from pipeline.reporting.table import Table
from pipeline.tools.check_result import NAMES, Check, PartCheck, layers_table, weights_table

_LANE_HEIGHT, _BAR_HEIGHT, _LABEL_WIDTH, _WIDTH = 26, 18, 110, 1000
_LEAST_WIDTH = 0.5  # in pixels; what lasts a cycle among thousands can still be pointed at


@dataclass(frozen=True)
class _Bar:
    left: float
    width: float
    label: str


@dataclass(frozen=True)
class _Lane:
    name: str
    top: int
    bars: tuple[_Bar, ...]


@dataclass(frozen=True)
class _Timeline:
    """Bars in pixels, one lane for each unit of the NPU."""

    width: int
    height: int
    bar_height: int
    lanes: tuple[_Lane, ...]


def write_page(
    path: Path, title: str, results: Sequence[Check], weights: Sequence[WeightTensor]
) -> None:
    """Write the page; an error leaves nothing behind."""
    text = rendered(
        "check.html.j2",
        title=title,
        results=[(result, _facts(result), _parts(result)) for result in results],
        weights=weights_table(weights),
    )
    write_atomically(path, text)


def _facts(result: Check) -> list[Table]:
    """Cycles, bytes and what stays on the CPU."""
    compiled = result.compiled
    us = result.emulator_cycles / compiled.clock_hz * 1e6
    cycles = (
        ("cycles", f"{compiled.total_cycles:,}", f"{result.emulator_cycles:,}"),
        (f"µs at {compiled.clock_hz / 1e6:.0f} MHz", f"{compiled.latency_us:.0f}", f"{us:.0f}"),
    )
    sizes = [
        (f"flash, {name.replace('_', ' ')}", f"{size:,}")
        for name, size in asdict(compiled.flash).items()
    ]
    sizes += [("arena", f"{compiled.arena_bytes:,}")]
    sizes += [
        (f"{fit.memory}, of {fit.available:,}", f"{fit.needed:,}")
        for fit in result.fits
        if fit.available is not None
    ]
    found = [
        Table.of("Cost of one inference", ("", "Vela", "emulator's model"), cycles),
        Table.of("Bytes", ("", "bytes"), sizes),
    ]
    reasons = list(zip(compiled.cpu_operators, compiled.cpu_reasons, strict=True))
    return [*found, Table.of("On the CPU", ("operator", "Vela's reason"), reasons)][
        : 2 + bool(reasons)
    ]


def _parts(result: Check) -> list[tuple[PartCheck, Table, Table, _Timeline]]:
    return [
        (
            part,
            _compared(part),
            layers_table(part),
            _timeline(chrome_trace(part.cost, result.system)),
        )
        for part in result.parts
    ]


def _compared(part: PartCheck) -> Table:
    """What was equal to which reference; text where there is nothing to compare with."""
    rows = [
        (NAMES[check.reference], kind, *map(str, cells))
        for check in part.verifications
        for kind, cells in [
            *((k, (t.elements, t.mismatches, t.largest_steps)) for k, t in check.tallies.items()),
            *((k, (reason, "", "")) for k, reason in check.failures.items()),
        ]
    ]
    return Table.of(
        "Beside reference kernels", ("against", "inputs", "elements", "different", "by steps"), rows
    )


def _timeline(trace: dict[str, Any]) -> _Timeline:
    bars = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    end = max((float(bar["ts"]) + float(bar["dur"]) for bar in bars), default=1.0)
    scale = (_WIDTH - _LABEL_WIDTH) / end
    names = list(dict.fromkeys(str(bar["cat"]) for bar in bars))
    lanes = tuple(
        _Lane(
            name,
            _LANE_HEIGHT * place,
            tuple(
                _Bar(
                    left=_LABEL_WIDTH + float(bar["ts"]) * scale,
                    width=max(float(bar["dur"]) * scale, _LEAST_WIDTH),
                    label=f"{bar['name']}: {bar['args']['cycles']} cycles",
                )
                for bar in bars
                if bar["cat"] == name
            ),
        )
        for place, name in enumerate(names)
    )
    return _Timeline(_WIDTH, _LANE_HEIGHT * len(lanes), _BAR_HEIGHT, lanes)
