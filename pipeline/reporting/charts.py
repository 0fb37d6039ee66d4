"""Training curves, quality by SNR, cycles by layer."""

import dataclasses
from collections.abc import Callable, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from pipeline.reporting import theme
from pipeline.reporting.results import (
    DENSE_FLOAT,
    Kind,
    Layer,
    Metric,
    ModelResults,
    Results,
    System,
    Validation,
)
from pipeline.reporting.tables import METRICS, memory_mode_name

# Operations below this share of the total are drawn as one bar.
SMALL_SHARE = 0.01
_MARKERS = "osD^vP"
_LINES: dict[Kind, str] = {
    "input": ":",
    "oracle": "--",
    "peer": "-.",
    "float": "-",
    "integer": "-",
}
_DENSE = "dense float"
_LEGEND_ROW_PT = 17
_LONGEST_NAME = 32


@dataclasses.dataclass(frozen=True)
class Chart:
    """Inline SVG and the words under it."""

    svg: str
    caption: str


def training_curves(results: Results) -> list[Chart]:
    """Validation score and training loss: the dense network, then the variants together."""
    dense = {_DENSE: results.train.history} if results.train.history else {}
    variants = {name: run.history for name, run in results.compress.items() if run.history}
    looks = {_DENSE: (theme.INK, "X")} | {name: _nth_look(k) for k, name in enumerate(variants)}
    with matplotlib.rc_context(theme.style()):
        return [
            _curves(f"{group}: {what}", runs, looks, value, reference)
            for group, runs in (("Dense network", dense), ("Compressed networks", variants))
            if runs
            for what, value, reference in (
                ("SI-SDR improvement, dB", lambda v: v.score, results.train.best_score),
                ("training loss", lambda v: v.loss, None),
            )
        ]


def quality_by_snr(results: Results, metric: Metric) -> Chart:
    """One metric over the SNR of the mixture, with standard errors."""
    heading, _ = METRICS[metric]
    systems = {
        name: system
        for name, system in results.evaluate.systems.items()
        if (system.kind != "float" or name == DENSE_FLOAT)
        and any(_value(system, snr, metric) is not None for snr in system.per_snr_db)
    }
    looks = _system_looks(results)
    with matplotlib.rc_context(theme.style()):
        figure, axes = theme.new_chart(250 + _LEGEND_ROW_PT * -(-len(systems) // 2))
        for name, system in systems.items():
            snrs = sorted(s for s in system.per_snr_db if _value(system, s, metric) is not None)
            color, marker = looks[name]
            axes.errorbar(
                snrs,
                [_value(system, snr, metric) or 0.0 for snr in snrs],
                [system.per_snr_db[snr][metric].standard_error or 0.0 for snr in snrs],
                label=system.label,
                color=color,
                marker=marker,
                linestyle=_LINES[system.kind],
                elinewidth=0.9,
            )
        axes.set_xlabel("signal-to-noise ratio of the mixture, dB")
        axes.set_xticks(sorted({snr for system in systems.values() for snr in system.per_snr_db}))
        _legend_below(figure, columns=2)
        description = f"{heading} against mixture SNR for {len(systems)} systems; table below."
        return Chart(theme.to_svg(figure, description), heading)


def cycles_by_layer(results: ModelResults) -> list[Chart]:
    """Vela's cycles of every NPU operation in the order they run, a chart for each variant."""
    costs = {
        name: {mode: _cycles(compiled.layers) for mode, compiled in modes.items()}
        for name, modes in results.compile.items()
    }
    longest = max(max(c.values(), default=0) for modes in costs.values() for c in modes.values())
    return [_cycle_chart(name, per_mode, longest) for name, per_mode in costs.items()]


def _cycle_chart(variant: str, per_mode: dict[str, dict[str, int]], longest: int) -> Chart:
    names = _shown_operations(list(per_mode.values()))
    others = "all other operations"
    thickness = 0.8 / len(per_mode)
    with matplotlib.rc_context(theme.style()):
        figure, axes = theme.new_chart(70 + _LEGEND_ROW_PT * len(per_mode) * (1 + len(names)))
        for k, (mode, cycles) in enumerate(per_mode.items()):
            shown = [cycles.get(name, 0) for name in names]
            shown.append(sum(cycles.values()) - sum(shown))
            positions = [
                row + (k - (len(per_mode) - 1) / 2) * thickness for row in range(len(shown))
            ]
            bars = axes.barh(
                positions,
                shown,
                thickness * 0.9,
                color=theme.SERIES[k],
                label=memory_mode_name(mode),
            )
            labels = [f"{value:,}" if value else "" for value in shown]
            axes.bar_label(bars, labels, padding=3, color=theme.MUTED, fontsize=10)
        axes.set_yticks(range(len(names) + 1), [*map(_short, names), others])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 1.2 * max(longest, 1))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("cycles (vela)")
        _legend_below(figure, columns=1)
        totals = ", ".join(
            f"{sum(cycles.values()):,} in {mode}" for mode, cycles in per_mode.items()
        )
        return Chart(
            theme.to_svg(figure, f"Cycles by operation, {variant}: {totals}."),
            f"{variant}: {totals}",
        )


def _short(name: str) -> str:
    """The end of a name, which tells operations of other converters apart."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _curves(
    caption: str,
    runs: dict[str, tuple[Validation, ...]],
    looks: dict[str, tuple[str, str]],
    value: Callable[[Validation], float],
    reference: float | None,
) -> Chart:
    rows = len(runs) + (reference is not None)
    figure, axes = theme.new_chart(190 + _LEGEND_ROW_PT * -(-rows // 2))
    if reference is not None:
        axes.axhline(reference, color=theme.MUTED, linestyle="--", label=f"{_DENSE}, best")
    for label, history in runs.items():
        color, marker = looks[label]
        axes.plot(
            [v.step for v in history],
            [value(v) for v in history],
            label=label,
            color=color,
            marker=marker,
            markevery=max(1, len(history) // 10),
        )
    axes.set_xlabel("optimizer step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _legend_below(figure, columns=2)
    last = "; ".join(f"{label} ends at {value(h[-1]):.2f}" for label, h in runs.items())
    return Chart(theme.to_svg(figure, f"{caption} by step: {last}."), caption)


def _legend_below(figure: Figure, columns: int) -> None:
    axes: Axes = figure.axes[0]
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def _system_looks(results: Results) -> dict[str, tuple[str, str]]:
    """Colour and marker of each system; variants look as they do in the training curves."""
    systems = results.evaluate.systems
    looks = dict.fromkeys(systems, (theme.MUTED, ""))
    looks[DENSE_FLOAT] = (theme.INK, "X")
    peers = [name for name, system in systems.items() if system.kind == "peer"]
    for k, name in enumerate(results.compress):
        looks[name] = _nth_look(k)
    for k, name in enumerate(peers):
        looks[name] = _nth_look(-1 - k)
    return looks


def _nth_look(k: int) -> tuple[str, str]:
    return theme.SERIES[k % len(theme.SERIES)], _MARKERS[k % len(_MARKERS)]


def _value(system: System, snr_db: float, metric: Metric) -> float | None:
    return system.per_snr_db[snr_db][metric].mean


def _cycles(layers: Sequence[Layer]) -> dict[str, int]:
    """Cycles by operation; parts of one operation that Vela has split are summed."""
    cycles: dict[str, int] = {}
    for layer in layers:
        cycles[layer.name] = cycles.get(layer.name, 0) + layer.cycles
    return cycles


def _shown_operations(per_mode: Sequence[dict[str, int]]) -> list[str]:
    """Operations that are not small in some mode, in the order they run."""
    return [
        name
        for name in dict.fromkeys(name for cycles in per_mode for name in cycles)
        if any(c.get(name, 0) >= SMALL_SHARE * sum(c.values()) > 0 for c in per_mode)
    ]
