"""The study as tables: what each point is, what it costs where, and how far it beats the paper."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence

from pipeline.reporting.story import MINUS
from pipeline.reporting.table import NO_VALUE, Row, Table
from pipeline.reporting.tables import METRICS
from pipeline.study.records import (
    PLACEMENTS,
    Cost,
    Placement,
    Point,
    Quality,
    Reference,
    Statistic,
    StudyError,
)

FLOAT_BYTES = 4
PEER = "RNNoise"
SMALL_BYTES = 32 * 1024
ABSOLUTE = ("si_sdr_db", "sdr_db", "pesq_wb", "stoi")


@dataclasses.dataclass(frozen=True)
class Paper:
    """A headline of "Weight, Block or Unit?" (arXiv 2111.02351)."""

    factor: float
    sdr_loss_db: float


PAPER_SMALLER = Paper(42, 0.1)
PAPER_FASTER = Paper(6.7, 0.59)


@dataclasses.dataclass(frozen=True)
class Target:
    """How much smaller or faster, at no more than some loss in SDR.

    Attributes:
        heading: what is compared.
        paper: the paper's factor; None if it has none.
        least: factor to reach.
        aim: factor hoped for.
        sdr_loss_db: most that may be lost against the dense float network.
        factor: of one point; None where it has none.
    """

    heading: str
    paper: float | None
    least: float
    aim: float
    sdr_loss_db: float
    factor: Callable[[Point], float | None]


@dataclasses.dataclass(frozen=True)
class Repeated:
    """One variant's points, one for each seed it was made with.

    It is judged by their mean: the best of several seeds would be a choice made on the test set.

    Attributes:
        points: the variant's own first.
    """

    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """Of the variant."""
        return self.points[0].base

    @property
    def structure(self) -> str:
        """What kind of model it is."""
        return self.points[0].structure

    @property
    def seeds(self) -> str:
        """For reading: "", or ", mean of N seeds"."""
        return f", mean of {len(self.points)} seeds" if len(self.points) > 1 else ""

    def mean(self, value: Callable[[Point], float]) -> float:
        """Over the seeds."""
        return statistics.fmean(value(point) for point in self.points)

    @property
    def quality(self) -> Quality:
        """Mean metrics over the seeds; None where a seed has none."""

        def over_seeds(metric: str) -> Statistic:
            found: list[Statistic] = [getattr(point.quality, metric) for point in self.points]
            means = [statistic.mean for statistic in found if statistic.mean is not None]
            return Statistic(
                mean=statistics.fmean(means) if len(means) == len(found) else None,
                standard_error=None,
                valid=sum(statistic.valid for statistic in found),
                total=sum(statistic.total for statistic in found),
            )

        return Quality(**{metric: over_seeds(metric) for metric in Quality.model_fields})


@dataclasses.dataclass(frozen=True)
class Study:
    """All points and what they are compared with.

    Attributes:
        reference: dense float network, peers, noisy input.
        points: in the order of their names.
        dense: the dense network in integers.
    """

    reference: Reference
    points: tuple[Point, ...]
    dense: Point

    @classmethod
    def of(cls, reference: Reference, points: tuple[Point, ...]) -> "Study":
        """Find the dense integer network among the points.

        Raises:
            StudyError: there is none.
        """
        dense = [p for p in points if not any(v.methods for v in p.chain)]
        if not dense:
            raise StudyError(
                "the study has no dense integer network to compare with: add a variant with "
                'parent "dense" and no methods, and run the sweep again'
            )
        return cls(reference, points, dense[0])

    @property
    def variants(self) -> tuple[Repeated, ...]:
        """All points, those of one variant together."""
        groups: dict[str, list[Point]] = {}
        for point in sorted(self.points, key=lambda p: (p.base, p.seed)):
            groups.setdefault(point.base, []).append(point)
        return tuple(Repeated(tuple(points)) for points in groups.values())

    @property
    def float_bytes(self) -> int:
        """Size of the dense network in float32."""
        return FLOAT_BYTES * self.reference.parameters

    def cycles_saved(self, point: Point, placement: Placement, dense: Placement) -> float | None:
        """Total cycles of the dense network over a point's; None where it does not fit."""
        before, after = self.dense.cost(dense), point.cost(placement)
        return None if before is None or after is None else before.total_cycles / after.total_cycles

    def targets(self) -> tuple[Target, ...]:
        """What the study set out for."""
        return (
            Target(
                "smaller: float32 bytes / all bytes in flash",
                PAPER_SMALLER.factor,
                42,
                60,
                PAPER_SMALLER.sdr_loss_db,
                lambda p: self.float_bytes / flash_bytes(p),
            ),
            Target(
                "faster: total cycles, dense / sparse, both in flash",
                PAPER_FASTER.factor,
                10,
                20,
                PAPER_FASTER.sdr_loss_db,
                lambda p: self.cycles_saved(p, "flash", "flash"),
            ),
            Target(
                "faster: dense in flash / sparse copied to SRAM at boot",
                None,
                15,
                40,
                PAPER_FASTER.sdr_loss_db,
                lambda p: self.cycles_saved(p, "sram_copy", "flash"),
            ),
            Target(
                "faster: both in SRAM",
                None,
                3,
                6,
                PAPER_FASTER.sdr_loss_db,
                lambda p: self.cycles_saved(p, "sram", "sram"),
            ),
        )


def flash_cost(point: Point) -> Cost:
    """On the reference deployment, weights in flash: every point has it."""
    cost = point.cost("flash")
    assert cost is not None
    return cost


def flash_bytes(point: Point) -> int:
    """Everything in flash, on the reference deployment."""
    return flash_cost(point).flash.total


def sram_cost(point: Point) -> Cost:
    """On the reference deployment, weights in SRAM, whether they fit or not: likewise."""
    cost = point.cost("sram")
    assert cost is not None
    return cost


def loss_db(point: Point, metric: str = "si_sdr_db") -> float:
    """How much a point is worse than the dense float network."""
    mean = getattr(point.change, metric).mean
    assert mean is not None
    return -float(mean)


def tables(study: Study) -> tuple[Table, ...]:
    """Everything, the targets first."""
    repeated = _repeated(study)
    return (
        _targets(study),
        _smallest(study),
        _overview(study),
        *((repeated,) if repeated.rows else ()),
        _systems(study),
        _speed(study),
        _flash(study),
        _boot(study),
        *(_deployments(study, placement) for placement in PLACEMENTS),
    )


def _targets(study: Study) -> Table:
    rows = []
    for target in study.targets():
        rated = [_rated(target, variant) for variant in study.variants]
        met = [r for r in rated if r is not None]
        within = [r for r in met if r.sdr_loss_db <= target.sdr_loss_db]
        reaching = [r for r in met if r.factor >= target.least]
        best = max(within, key=lambda r: (r.factor, -r.sdr_loss_db), default=None)
        closest = min(reaching, key=lambda r: r.sdr_loss_db, default=None)
        cells = (
            f"{target.heading}, at most {target.sdr_loss_db:g} dB SDR lost",
            NO_VALUE if target.paper is None else f"{target.paper:g}",
            f"{target.least:g}",
            f"{target.aim:g}",
            _reached(target, best),
            *(_factor(best), _factor(closest)),
        )
        rows.append(Row(None, cells))
    return Table(
        "Targets: best point within the allowed loss, and the point that reaches the least factor "
        "with the least loss",
        (
            *("Factor", "Paper", "At least", "Aim", "Reached"),
            *("Best within the loss", "Least loss at the factor"),
        ),
        tuple(rows),
    )


@dataclasses.dataclass(frozen=True)
class _Rated:
    """How far one variant gets towards one target."""

    variant: Repeated
    factor: float
    sdr_loss_db: float


def _rated(target: Target, variant: Repeated) -> _Rated | None:
    """None if the target's placement does not fit."""
    factors = [target.factor(point) for point in variant.points]
    fitting = [factor for factor in factors if factor is not None]
    if len(fitting) < len(factors):
        return None
    loss = variant.mean(lambda p: loss_db(p, "sdr_db"))
    return _Rated(variant, statistics.fmean(fitting), loss)


def _reached(target: Target, best: _Rated | None) -> str:
    if best is None or best.factor < target.least:
        return "no"
    return "aim" if best.factor >= target.aim else "yes"


def _factor(found: _Rated | None) -> str:
    if found is None:
        return NO_VALUE
    change = f"{signed(-found.sdr_loss_db, 2)} dB SDR{found.variant.seeds}"
    return f"{found.factor:.1f} ({found.variant.name}, {change})"


def _smallest(study: Study) -> Table:
    """The least flash that is still better than the peer."""
    peer = study.reference.systems.get(PEER)
    better = [v for v in study.variants if peer is not None and _beats(v.quality, peer)]
    rows = []
    for variant in sorted(better, key=lambda v: v.mean(flash_bytes))[:3]:
        cells = (f"{variant.mean(flash_bytes):,.0f}", *_means(variant.quality))
        rows.append(Row(None, (f"{variant.name}{variant.seeds}", *cells)))
    if peer is not None:
        rows.append(Row(None, (PEER, NO_VALUE, *_means(peer))))
    return Table(
        f"Smallest models that beat {PEER} in PESQ and SI-SDR (aim: under {SMALL_BYTES:,} bytes)",
        ("Model", "Flash, bytes", *_headings()),
        tuple(rows),
    )


def _beats(quality: Quality, peer: Quality) -> bool:
    return all(
        (getattr(quality, metric).mean or 0.0) > (getattr(peer, metric).mean or 0.0)
        for metric in ("pesq_wb", "si_sdr_db")
    )


def _overview(study: Study) -> Table:
    rows = []
    for point in sorted(study.points, key=flash_bytes):
        flash, sram = flash_cost(point), sram_cost(point)
        cells = (
            point.name,
            point.structure,
            "-".join(str(units) for units in point.units.values()),
            f"{point.weights_left:,}",
            *_means(point.quality),
            *(_change(point.change.si_sdr_db), _change(point.change.sdr_db)),
            f"{flash.flash.total:,}",
            f"{study.float_bytes / flash.flash.total:.1f}",
            f"{flash.total_cycles:,}",
            f"{sram.total_cycles:,}",
        )
        rows.append(Row(None, cells))
    cost = flash_cost(study.dense)
    return Table(
        f"Every point, {cost.accelerator}, {cost.system}; changes are against the dense float "
        "network, mean of the clip-by-clip differences ± standard error; cycles by Vela",
        (
            *("Model", "Structure", "Units", "Weights left", *_headings()),
            *("Δ SI-SDR, dB", "Δ SDR, dB", "Flash, bytes", "Times smaller"),
            *("Cycles, flash", "Cycles, SRAM"),
        ),
        tuple(rows),
    )


def _speed(study: Study) -> Table:
    """How much faster than the dense integer network, in every pair of placements."""
    pairs: tuple[tuple[Placement, Placement], ...] = (
        ("flash", "flash"),
        ("sram_copy", "flash"),
        ("sram", "sram"),
    )
    rows = []
    for point in study.points:
        factors = (study.cycles_saved(point, *pair) for pair in pairs)
        cells = (NO_VALUE if factor is None else f"{factor:.1f}" for factor in factors)
        rows.append(Row(None, (point.name, *cells)))
    return Table(
        "Times faster than the dense integer network (total cycles)",
        ("Model", "Both in flash", "Copied to SRAM, dense in flash", "Both in SRAM"),
        tuple(rows),
    )


def _repeated(study: Study) -> Table:
    """Mean and spread over seeds."""
    columns: dict[str, tuple[Callable[[Point], float], int]] = {
        "Δ SI-SDR, dB": (lambda p: -loss_db(p), 2),
        "Δ SDR, dB": (lambda p: -loss_db(p, "sdr_db"), 2),
        "PESQ-WB": (lambda p: p.quality.pesq_wb.mean or 0.0, 2),
        "Flash, bytes": (flash_bytes, 0),
        "Cycles, flash": (lambda p: flash_cost(p).total_cycles, 0),
        "Cycles, SRAM": (lambda p: sram_cost(p).total_cycles, 0),
    }
    rows = []
    for variant in study.variants:
        if len(variant.points) > 1:
            seeds = ", ".join(str(point.seed) for point in variant.points)
            spreads = (
                _spread([value(point) for point in variant.points], digits)
                for value, digits in columns.values()
            )
            rows.append(Row(None, (variant.name, seeds, *spreads)))
    return Table(
        "Models made again with other seeds, mean ± standard deviation",
        ("Model", "Seeds", *columns),
        tuple(rows),
    )


def _spread(values: Sequence[float], digits: int) -> str:
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    shown = signed(mean, digits) if mean < 0 else f"{mean:,.{digits}f}"
    return f"{shown} ± {spread:,.{digits}f}"


def _systems(study: Study) -> Table:
    rows = [Row(None, (name, *_means(q))) for name, q in study.reference.systems.items()]
    return Table("What the points are compared with", ("System", *_headings()), tuple(rows))


def _flash(study: Study) -> Table:
    rows = []
    for point in study.points:
        flash = flash_cost(point).flash
        stored = (flash.weights, flash.scales, flash.lookup_tables)
        parts = (flash.total, *stored, flash.command_stream, flash.other)
        rows.append(Row(None, (point.name, *(f"{part:,}" for part in parts))))
    return Table(
        "Exact bytes in flash",
        (
            *("Model", "All", "Encoded weights", "Scales and biases", "Lookup tables"),
            *("Command stream", "Padding and other"),
        ),
        tuple(rows),
    )


def _boot(study: Study) -> Table:
    rows = []
    for point in study.points:
        cost = point.cost("sram_copy")
        if cost is not None and cost.boot is not None:
            numbers = (cost.boot.bytes, cost.boot.cycles, cost.sram_bytes, cost.arena_bytes)
            rows.append(Row(None, (point.name, *(f"{number:,}" for number in numbers))))
    return Table(
        "Weights copied to SRAM once at boot; a model that is not listed does not fit",
        ("Model", "Bytes copied", "Boot, cycles", "SRAM, bytes", "of which arena"),
        tuple(rows),
    )


def _deployments(study: Study, placement: Placement) -> Table:
    places = dict.fromkeys((c.accelerator, c.system) for p in study.points for c in p.costs)
    rows = []
    for point in study.points:
        found = [point.cost_on(*place, placement) for place in places]
        rows.append(Row(None, (point.name, *(_cycles(cost) for cost in found))))
    return Table(
        f"Total cycles of one hop and its latency (vela), {PLACEMENTS[placement]}",
        ("Model", *(f"{accelerator}, {system}" for accelerator, system in places)),
        tuple(rows),
    )


def _cycles(cost: Cost | None) -> str:
    return NO_VALUE if cost is None else f"{cost.total_cycles:,} ({cost.latency_us:,.0f} µs)"


def _headings() -> tuple[str, ...]:
    return tuple(METRICS[metric][0] for metric in METRICS if metric in ABSOLUTE)


def _means(quality: Quality) -> tuple[str, ...]:
    cells = []
    for metric, (_, digits) in METRICS.items():
        if metric in ABSOLUTE:
            mean = getattr(quality, metric).mean
            cells.append(NO_VALUE if mean is None else signed(mean, digits, plus=""))
    return tuple(cells)


def _change(value: Statistic) -> str:
    if value.mean is None:
        return NO_VALUE
    error = "" if value.standard_error is None else f" ± {value.standard_error:.2f}"
    return f"{signed(value.mean, 2)}{error}"


def signed(value: float, digits: int, plus: str = "+") -> str:
    """With a sign, for reading."""
    sign = MINUS if round(value, digits) < 0 else plus
    return f"{sign}{abs(value):.{digits}f}"
