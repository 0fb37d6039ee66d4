"""Trade-off plots: SI-SDR loss against size and speed, every kind of structure in its colour.

A model that was made with several seeds is drawn once, at their mean.
"""

import math
from collections.abc import Callable, Iterable

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from pipeline.reporting import theme
from pipeline.study.records import Point
from pipeline.study.summary import (
    PAPER_FASTER,
    PAPER_SMALLER,
    Study,
    flash_bytes,
    flash_cost,
    loss_db,
    sram_cost,
)

HEIGHT_PT = 390
LABEL_PT = 8
# Names need this share of the least value on its left, and this much below a loss of nothing.
ROOM_FOR_NAMES = 0.12
LABEL_DB = 0.15
# What gains less than this on the point before it goes without a name.
NAMED_APART_DB = 0.04
# Beyond it no one would use a model; its points are drawn there.
MOST_LOSS_DB = 3.0
# Marker and colour; structures differ in both, for readers who do not tell colours apart.
LOOKS = {
    "dense": ("X", theme.INK),
    "weight": ("o", theme.SERIES[0]),
    "block": ("s", theme.SERIES[1]),
    "unit": ("^", theme.SERIES[2]),
    "rank": ("P", theme.SERIES[4]),
    "combination": ("D", theme.SERIES[3]),
    "offline": ("v", theme.SERIES[5]),
    "toolkit": ("*", theme.MUTED),
}


def trade_offs(study: Study) -> dict[str, str]:
    """Standalone SVG by file name."""
    dense = flash_cost(study.dense)
    return {
        "flash.svg": _trade_off(
            study,
            "bytes in flash",
            flash_bytes,
            (study.float_bytes / PAPER_SMALLER.factor, PAPER_SMALLER.sdr_loss_db),
        ),
        "npu_cycles.svg": _trade_off(
            study,
            "NPU cycles of one hop, weights in SRAM (vela)",
            lambda p: sram_cost(p).npu_cycles,
        ),
        "total_cycles.svg": _trade_off(
            study,
            "total cycles of one hop, weights in flash (vela)",
            lambda p: flash_cost(p).total_cycles,
            (dense.total_cycles / PAPER_FASTER.factor, PAPER_FASTER.sdr_loss_db),
        ),
    }


def front(values: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The pairs that no other is below in both coordinates, by the first one ascending."""
    kept: list[tuple[float, float]] = []
    for pair in sorted(set(values)):
        if not kept or pair[1] < kept[-1][1]:
            kept.append(pair)
    return kept


def _trade_off(
    study: Study,
    what: str,
    value: Callable[[Point], float],
    paper: tuple[float, float] | None = None,
) -> str:
    places = {v.name: (v.mean(value), min(v.mean(loss_db), MOST_LOSS_DB)) for v in study.variants}
    best = front(places.values())
    with matplotlib.rc_context(theme.style()):
        figure, axes = theme.new_chart(HEIGHT_PT)
        axes.plot(*zip(*best), color=theme.MUTED, drawstyle="steps-post", linewidth=1.0, zorder=1)
        for structure, (marker, color) in LOOKS.items():
            chosen = [places[v.name] for v in study.variants if v.structure == structure]
            if chosen:
                axes.scatter(*zip(*chosen), marker=marker, color=color, label=structure, zorder=2)
        if paper is not None:
            axes.scatter(
                *paper,
                marker="*",
                s=130,
                facecolors="none",
                edgecolors=theme.INK,
                label="paper's factor (SDR loss)",
                zorder=3,
            )
        axes.set_xscale("log")
        axes.set_xlabel(what)
        cut = any(loss >= MOST_LOSS_DB for _, loss in places.values())
        axes.set_ylabel("SI-SDR loss, dB" + (f" ({MOST_LOSS_DB:g}: or more)" if cut else ""))
        _name(axes, {name: place for name, place in places.items() if place in best})
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        description = f"SI-SDR loss against {what}: {len(places)} models, {len(best)} on the front."
        return theme.standalone(theme.to_svg(figure, description))


def _name(axes: Axes, places: dict[str, tuple[float, float]]) -> None:
    """Names left of the points of the front and below, where by definition there are no points."""
    named_db = math.inf
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        if place[1] > named_db - NAMED_APART_DB:
            continue
        named_db = place[1]
        axes.annotate(
            name,
            place,
            (-5, -3),
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="top",
            color=theme.MUTED,
            fontsize=LABEL_PT,
        )
    axes.set_xlim(left=ROOM_FOR_NAMES * min(value for value, _ in places.values()))
    axes.set_ylim(bottom=-LABEL_DB)
