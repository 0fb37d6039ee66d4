"""The numbers as tables, for the page and, in Markdown, for a README."""

import dataclasses
from collections.abc import Sequence

from pipeline.reporting.results import DENSE_FLOAT, Kind, Metric, Metrics, Results, Source, System

METRICS: dict[Metric, tuple[str, int]] = {
    "si_sdr_db": ("SI-SDR, dB", 2),
    "si_sdri_db": ("SI-SDR gain, dB", 2),
    "sdr_db": ("SDR, dB", 2),
    "pesq_wb": ("PESQ-WB", 2),
    "stoi": ("STOI", 3),
    "dnsmos_overall": ("DNSMOS", 2),
}
"""Heading and decimals of every reported metric; higher is better in all."""
NO_VALUE = "\N{EN DASH}"
MEMORY_MODES = {"Shared_Sram": "weights in flash", "Sram_Only": "weights in SRAM"}


@dataclasses.dataclass(frozen=True)
class Row:
    """Cells of one line, the first one naming it; ``kind`` tells systems apart where they mix."""

    kind: Kind | None
    cells: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """A captioned table; every column but the first is numeric, unless it is one of `words`."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    words: bool = False

    def markdown(self) -> str:
        """Render as GitHub-flavoured Markdown under its caption."""
        rest = "---" if self.words else "---:"
        lines = [self.columns, ("---", *(rest for _ in self.columns[1:]))]
        lines += [row.cells for row in self.rows]
        escaped = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
        return f"{self.caption}\n\n" + "\n".join(f"| {line} |" for line in escaped) + "\n"


def markdown(tables: Sequence[Table]) -> str:
    """Render tables one below the other."""
    return "\n".join(table.markdown() for table in tables)


def memory_mode_name(mode: str) -> str:
    """Vela's name of a memory mode, and what it means where known."""
    return f"{mode} ({MEMORY_MODES[mode]})" if mode in MEMORY_MODES else mode


def overview(results: Results) -> Table:
    """Quality, size and cost of every system side by side, in the main memory mode.

    Cost has one source here, so that the table fits a page; `cost` has them all.
    """
    mode, sources = results.memory_modes[0], results.sources[:1]
    metrics = _scored(results)
    rows = []
    for name, system in results.evaluate.systems.items():
        if system.kind == "float" and name != DENSE_FLOAT:
            continue  # A variant's float weights explain its integer score only: see `quality`.
        cells = [system.label, *(_mean(system.overall, metric) for metric in metrics)]
        if name in results.compress:
            compiled = results.compile[name][mode]
            cells += [f"{compiled.flash.total:,}", f"{compiled.arena_bytes:,}"]
        else:
            cells += [NO_VALUE, NO_VALUE]
        cells += _cost_cells(results, name, mode, sources)
        rows.append(Row(system.kind, tuple(cells)))
    return Table(
        f"Quality, size and cost of one hop; memory mode {memory_mode_name(mode)}",
        (
            "System",
            *(METRICS[metric][0] for metric in metrics),
            "Flash, bytes",
            "Arena, bytes",
            *_cost_columns(sources),
        ),
        tuple(rows),
    )


def quality(results: Results) -> Table:
    """Mean and standard error of every metric for every system."""
    systems, metrics = results.evaluate.systems, _scored(results)
    clips = max(s.overall[metric].total for s in systems.values() for metric in s.overall)
    rows = [
        Row(system.kind, (system.label, *(_with_error(system, metric) for metric in metrics)))
        for system in systems.values()
    ]
    return Table(
        f"Quality over {clips} test mixtures, mean ± standard error; higher is better",
        ("System", *(METRICS[metric][0] for metric in metrics)),
        tuple(rows),
    )


def per_snr(results: Results, metric: Metric) -> Table:
    """Mean of one metric at each mixture SNR."""
    systems = results.evaluate.systems.values()
    snrs = sorted({snr for system in systems for snr in system.per_snr_db})
    rows = [
        Row(
            system.kind,
            (
                system.label,
                *(
                    _mean(system.per_snr_db[snr], metric) if snr in system.per_snr_db else NO_VALUE
                    for snr in snrs
                ),
            ),
        )
        for system in systems
    ]
    heading = METRICS[metric][0]
    return Table(
        f"{heading}, by signal-to-noise ratio of the mixture",
        ("System", *(f"{snr:g} dB" for snr in snrs)),
        tuple(rows),
    )


def size(results: Results) -> Table:
    """Flash split and arena of every compiled model."""
    rows = []
    for name, modes in results.compile.items():
        for mode, compiled in modes.items():
            flash = compiled.flash
            parts = (
                flash.total,
                flash.weights,
                flash.scales,
                flash.lookup_tables,
                flash.command_stream,
                flash.other,
                compiled.arena_bytes,
            )
            label = _model_in_mode(name, mode)
            rows.append(Row(None, (label, *(f"{part:,}" for part in parts))))
    return Table(
        "Exact bytes of the compiled models",
        (
            "Model",
            "Flash, all",
            "Encoded weights",
            "Scales and biases",
            "Lookup tables",
            "Command stream",
            "Padding and other",
            "Arena (RAM)",
        ),
        tuple(rows),
    )


def cost(results: Results) -> Table:
    """Cycles and latency of one hop, a group of columns for each source."""
    rows = [
        Row(None, (_model_in_mode(name, mode), *_cost_cells(results, name, mode, results.sources)))
        for name in results.compress
        for mode in results.memory_modes
    ]
    return Table(
        "Cost of one hop; the source of each number is in its heading",
        ("Model", *_cost_columns(results.sources)),
        tuple(rows),
    )


def _model_in_mode(name: str, mode: str) -> str:
    return f"{name}, {MEMORY_MODES.get(mode, mode)}"


def _cost_columns(sources: Sequence[Source]) -> tuple[str, ...]:
    kinds = ("NPU cycles", "Total cycles", "Latency, µs")
    return tuple(f"{kind} ({source})" for source in sources for kind in kinds)


def _cost_cells(results: Results, variant: str, mode: str, sources: Sequence[Source]) -> list[str]:
    cells = []
    for source in sources:
        row = results.latency(variant, mode, source) if variant in results.estimate else None
        cells += [
            NO_VALUE if row is None or row.npu_cycles is None else f"{row.npu_cycles:,}",
            NO_VALUE if row is None or row.total_cycles is None else f"{row.total_cycles:,}",
            NO_VALUE if row is None else f"{row.latency_us:,.1f}",
        ]
    return cells


def _scored(results: Results) -> list[Metric]:
    """The metrics that every system was scored by."""
    systems = results.evaluate.systems.values()
    return [metric for metric in METRICS if all(metric in system.overall for system in systems)]


def _mean(metrics: Metrics, metric: Metric) -> str:
    mean = metrics[metric].mean
    return NO_VALUE if mean is None else f"{mean:.{METRICS[metric][1]}f}"


def _with_error(system: System, metric: Metric) -> str:
    text = _mean(system.overall, metric)
    statistic = system.overall[metric]
    if statistic.standard_error is not None:
        text += f" ± {statistic.standard_error:.{METRICS[metric][1]}f}"
    if 0 < statistic.valid < statistic.total:
        text += f" ({statistic.valid} clips)"
    return text
