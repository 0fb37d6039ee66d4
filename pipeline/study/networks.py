"""A page that sets networks of all kinds beside public enhancers, on the same mixtures.

Scores are what `pipeline.metrics.peers` wrote, costs those of the models' points.
"""

import glob
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from pydantic import BaseModel, ConfigDict, FiniteFloat, TypeAdapter, ValidationError

from pipeline.artefacts import write_atomically
from pipeline.metrics.peers import IDEAL_RATIO_MASK, NOISY
from pipeline.reporting import theme
from pipeline.reporting.table import NO_VALUE, Row, Table
from pipeline.study.records import Point, StudyError
from pipeline.study.summary import flash_cost, sram_cost

FOLDER = "networks"
PAGE = "README.md"
TITLE = "# Networks beside what is there already"
INTRODUCTION = (
    "Written by `python -m pipeline.report --networks docs` from the scores in this folder and the "
    "points of the studies beside it: change those, not this. Scores: `python -m "
    "pipeline.metrics.peers --dnsmos`, for ours with `--peers --model FILE ...` "
    "([metrics, peers and how they are run](../peers.md)); {mixtures} mixtures whose speakers, "
    "languages and noise packages are in no training list. Ours are integer models, run hop by "
    "hop; cycles of one 16 ms hop on an Ethos-U55-128 as Vela estimates them, with weights in "
    "flash and in SRAM."
)
# Metric: heading, digits.
METRICS = {
    "si_sdr_db": ("SI-SDR, dB", 2),
    "sdr_db": ("SDR, dB", 2),
    "pesq_wb": ("PESQ-WB", 2),
    "stoi": ("STOI", 3),
    "dnsmos_overall": ("DNSMOS", 2),
}
CHARTS = ("si_sdr_db", "pesq_wb")
HEIGHT_PT = 300
LABEL_PT = 8


class _Scored(BaseModel):
    model_config = ConfigDict(extra="ignore")

    mean: FiniteFloat
    total: int


class _System(BaseModel):
    model_config = ConfigDict(extra="ignore")

    overall: dict[str, _Scored]


_SYSTEMS = TypeAdapter(dict[str, _System])


@dataclass(frozen=True)
class Entry:
    """One enhancer: its scores, and its point if it is one of our models."""

    name: str
    scores: dict[str, _Scored]
    point: Point | None

    def score(self, metric: str) -> float:
        """Mean over the mixtures."""
        return self.scores[metric].mean


def entries(documents: Path) -> list[Entry]:
    """Everything that was scored: the noisy input, peers and the ideal mask, then models by cost.

    Raises:
        StudyError: there are no scores, a file of them is damaged, a metric is missing, or two
            studies have a model of one name.
    """
    found: dict[str, Entry] = {}
    for file in sorted((documents / FOLDER).glob("*.json")):
        for name, system in _read(file).items():
            missing = METRICS.keys() - system.overall.keys()
            if missing:
                raise StudyError(f"{file}: {name} has no {', '.join(sorted(missing))}; run again")
            found[name] = Entry(name, system.overall, _point(documents, name))
    if not found:
        raise StudyError(f"{documents / FOLDER}: no scores; run pipeline.metrics.peers --dnsmos")
    return sorted(found.values(), key=_order)


def write_networks(documents: Path) -> Path:
    """Write page and charts to ``<documents>/networks`` from what is there.

    Returns:
        The page.

    Raises:
        StudyError: as `entries`.
    """
    found = entries(documents)
    folder = documents / FOLDER
    for metric in CHARTS:
        write_atomically(folder / f"{metric}.svg", chart(found, metric))
    write_atomically(folder / PAGE, page(found))
    return folder / PAGE


def page(found: Sequence[Entry]) -> str:
    """The page as Markdown."""
    headings = (heading for heading, _ in METRICS.values())
    table = Table(
        "",
        (
            *("System", *headings, "Flash, bytes", "Arena, bytes"),
            *("Total cycles (vela)", "Cycles, SRAM (vela)"),
        ),
        tuple(Row(None, (entry.name, *_cells(entry))) for entry in found),
    )
    mixtures = max(score.total for entry in found for score in entry.scores.values())
    pictures = (f"![{METRICS[metric][0]} against cycles]({metric}.svg)" for metric in CHARTS)
    parts = [TITLE, INTRODUCTION.format(mixtures=mixtures), *pictures, table.markdown()]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def chart(found: Sequence[Entry], metric: str) -> str:
    """Standalone SVG: models by their cycles with weights in SRAM, peers as lines across."""
    with matplotlib.rc_context(theme.style()):
        figure, axes = theme.new_chart(HEIGHT_PT)
        models = [(sram_cost(e.point).total_cycles, e) for e in found if e.point is not None]
        peers = [e for e in found if e.point is None and e.name not in (NOISY, IDEAL_RATIO_MASK)]
        axes.grid(visible=False)
        # Names stand on both sides in turn, since some are nearly alike.
        for peer, side in zip(peers, itertools.cycle(("right", "left"))):
            axes.axhline(peer.score(metric), color=theme.MUTED, linestyle="--", linewidth=1.0)
            axes.annotate(
                f" {peer.name} ",
                (float(side == "right"), peer.score(metric)),
                xycoords=axes.get_yaxis_transform(),
                horizontalalignment=side,
                verticalalignment="bottom",
                color=theme.MUTED,
                fontsize=LABEL_PT,
            )
        for (cycles, model), side in zip(models, itertools.cycle(("top", "bottom"))):
            axes.scatter(cycles, model.score(metric), color=theme.SERIES[0], zorder=2)
            axes.annotate(
                f"  {model.name}",
                (cycles, model.score(metric)),
                verticalalignment=side,
                fontsize=LABEL_PT,
            )
        axes.set_xscale("log")
        axes.set_xlabel("NPU cycles of one hop, weights in SRAM (vela)")
        axes.set_ylabel(METRICS[metric][0])
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
        if models:
            axes.set_xlim(min(c for c, _ in models) * 0.7, max(c for c, _ in models) * 3)
        described = f"{METRICS[metric][0]} of {len(models)} models by cycles, {len(peers)} peers."
        return theme.standalone(theme.to_svg(figure, described))


def _read(file: Path) -> dict[str, _System]:
    try:
        return _SYSTEMS.validate_python(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise StudyError(f"{file}: no scores of pipeline.metrics.peers ({reason})") from error


def _point(documents: Path, name: str) -> Point | None:
    paths = sorted(documents.glob(f"*/points/{glob.escape(name)}.json"))
    if len(paths) > 1:
        raise StudyError(f"{paths[0]} and {paths[1]}: which one is {name!r}? Rename a variant")
    return Point.load(paths[0]) if paths else None


def _order(entry: Entry) -> tuple[bool, float]:
    if entry.point is None:
        return False, {NOISY: -1e9, IDEAL_RATIO_MASK: 1e9}.get(entry.name, entry.score("si_sdr_db"))
    return True, float(sram_cost(entry.point).total_cycles)


def _cells(entry: Entry) -> Iterator[str]:
    for metric, (_, digits) in METRICS.items():
        yield f"{entry.score(metric):.{digits}f}"
    if entry.point is None:
        yield from [NO_VALUE] * 4
    else:
        flash = flash_cost(entry.point)
        numbers = (flash.flash.total, flash.arena_bytes, flash.total_cycles)
        yield from (f"{number:,}" for number in (*numbers, sram_cost(entry.point).total_cycles))
