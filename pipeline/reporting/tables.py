"""The numbers of a run as tables."""

import dataclasses
from collections.abc import Sequence

from pipeline.boards.tables import cost_table, quality_table
from pipeline.reporting.results import (
    DENSE_FLOAT,
    Metric,
    Metrics,
    ModelResults,
    Results,
    Source,
    System,
)
from pipeline.reporting.table import NO_VALUE, Row, Table

METRICS: dict[Metric, tuple[str, int]] = {
    "si_sdr_db": ("SI-SDR, dB", 2),
    "si_sdri_db": ("SI-SDR gain, dB", 2),
    "sdr_db": ("SDR, dB", 2),
    "pesq_wb": ("PESQ-WB", 2),
    "stoi": ("STOI", 3),
    "dnsmos_overall": ("DNSMOS", 2),
}
"""Heading and decimals of every reported metric; higher is better in all."""
MEMORY_MODES = {"Shared_Sram": "weights in flash", "Sram_Only": "weights in SRAM"}


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


def size(results: ModelResults) -> Table:
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


def cost(results: ModelResults) -> Table:
    """Cycles and latency of one hop, a group of columns for each source."""
    rows = [
        Row(None, (_model_in_mode(name, mode), *_cost_cells(results, name, mode, results.sources)))
        for name in results.compile
        for mode in results.memory_modes
    ]
    return Table(
        "Cost of one hop or inference; the source of each number is in its heading",
        ("Model", *_cost_columns(results.sources)),
        tuple(rows),
    )


def toolkit_steps(results: ModelResults) -> tuple[Table, ...]:
    """What the optimization toolkit's steps left of each model that it made."""
    tables = []
    for name, made in results.compress.items():
        if made.steps:
            rows = [
                (
                    step.do,
                    *(f"{value:.4f}" for value in step.scores.values()),
                    f"{100 * step.zeros:.1f} %",
                    str(max((weight.distinct for weight in step.weights), default=0)),
                )
                for step in made.steps
            ]
            columns = (*made.steps[0].scores, "zeros", "most distinct values in a tensor")
            caption = f"{name} after each step of the optimization toolkit; the last is of integers"
            tables.append(Table.of(caption, ("step", *columns), rows))
    return tuple(tables)


def inferences(results: ModelResults) -> Table | None:
    """What the firmware made of random inputs; None if it was not run so."""
    rows = [
        (
            _model_in_mode(name, mode),
            f"{run.inferences}",
            f"{run.package_bytes:,}",
            f"{run.arena_bytes:,}",
            f"{run.npu_cycles:,.0f}",
            f"{run.bytes_differing:,} of {run.bytes_compared:,}",
        )
        for name, made in results.on_target.items()
        for mode, run in made.inferences.items()
    ]
    board = next((made.board for made in results.on_target.values() if made.board), "")
    columns = (
        *("Model", "Inferences", "Model flash, bytes", "Arena, bytes", "NPU cycles"),
        "Output bytes that differ from the emulator's",
    )
    caption = f"Firmware on the {board} board, random inputs"
    return Table.of(caption, columns, rows) if rows else None


def on_target(results: ModelResults) -> tuple[Table, ...]:
    """What the firmware took and gave on a board, for each memory mode; empty if none ran."""
    runs = [run for run in results.on_target.values() if run.board and run.image]
    found = []
    for mode in results.memory_modes:
        rows = [row for run in runs for row in run.rows.get(mode, ())]
        if rows:
            board, image = runs[0].board, runs[0].image
            assert board and image
            for table in (cost_table(rows, image, board), quality_table(rows)):
                caption = f"Firmware on the {board} board, {MEMORY_MODES.get(mode, mode)}"
                found.append(dataclasses.replace(table, caption=caption))
    return tuple(found)


def _model_in_mode(name: str, mode: str) -> str:
    return f"{name}, {MEMORY_MODES.get(mode, mode)}"


def _cost_columns(sources: Sequence[Source]) -> tuple[str, ...]:
    kinds = ("NPU cycles", "Total cycles", "Latency, µs")
    return tuple(f"{kind} ({source})" for source in sources for kind in kinds)


def _cost_cells(
    results: ModelResults, variant: str, mode: str, sources: Sequence[Source]
) -> list[str]:
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
