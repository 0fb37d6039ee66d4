"""A page for choosing a method: what each one does here, what its paper says, when to use it.

The methods are data (`methods.toml`); every number comes from points of studies.
"""

import math
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.artefacts import write_atomically
from pipeline.reporting.table import Row, Table
from pipeline.study.records import Point, StudyError, points_in, read_study
from pipeline.study.summary import Repeated, Study, flash_bytes, loss_db, signed, sram_cost

PAGE = "methods.md"
TITLE = "# Methods: which one to use"
INTRODUCTION = (
    "Written by `python -m pipeline.report --methods docs` from `pipeline/study/methods.toml` and "
    "the points of the studies: change those, not this. How a method works: "
    "[compression.md](compression.md) and the docstring of its module."
)
NOT_MEASURED = "not measured yet"
Text = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Comparison(_Entry):
    """Points that pay alike for something.

    Attributes:
        study: folder below the documents that holds them.
        budget: what they pay alike.
        points: variants, the method's own first, its baselines after it.
    """

    study: Text
    budget: Text
    points: Annotated[tuple[Text, ...], Field(min_length=1)]


class Entry(_Entry):
    """A method as a reader chooses it.

    Attributes:
        name: what people call it.
        do: modules that implement it.
        source: authors, place, year.
        claim: the paper's headline.
        use, avoid: when to use it here, and when not.
        result: what was measured where no point can say it.
        comparisons: what was measured.
    """

    name: Text
    do: tuple[Text, ...]
    source: Text
    claim: Text
    use: Text
    avoid: Annotated[Text, Field(alias="not")]
    result: Text | None = None
    comparisons: Annotated[tuple[Comparison, ...], Field(alias="comparison")] = ()


def entries() -> tuple[Entry, ...]:
    """All methods, in the order of the page.

    Raises:
        StudyError: one is not described as it should be; names the field.
    """
    text = resources.files(__package__).joinpath("methods.toml").read_text(encoding="utf-8")
    try:
        return tuple(Entry.model_validate(entry) for entry in tomllib.loads(text)["method"])
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise StudyError(f"methods.toml: {where}: {problem['msg']}") from error


def write_methods(documents: Path) -> Path:
    """Write ``<documents>/methods.md`` from the points of the studies below ``documents``.

    Returns:
        The page.

    Raises:
        StudyError: a point is damaged.
    """
    page = documents / PAGE
    write_atomically(page, methods_page(entries(), documents))
    return page


def methods_page(methods: tuple[Entry, ...], documents: Path) -> str:
    """The page as Markdown; a study without points is one that is not measured yet."""
    names = dict.fromkeys(c.study for method in methods for c in method.comparisons)
    studies = {name: _study(documents / name) for name in names}
    overview = Table(
        "Changes of SI-SDR are against the dense network in integers, mean of the clip-by-clip "
        "differences; cycles of one hop by Vela with weights in SRAM, of a network that skips hops "
        "the mean of all; bytes are all of flash. "
        "The first model is the method's, the others are its baselines",
        ("Method", "Here", "In its paper", "Use it when", "Not when"),
        tuple(_overview(method, studies) for method in methods),
        texts=5,
    )
    parts = [TITLE, INTRODUCTION, overview.markdown()]
    for method in methods:
        parts += [f"## {method.name}", _described(method)]
        parts += [_compared(c, studies[c.study]).markdown() for c in method.comparisons]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _overview(method: Entry, studies: dict[str, Study | None]) -> Row:
    link = f"[{method.name}](#{_anchor(method.name)})"
    return Row(None, (link, _here(method, studies), method.claim, method.use, method.avoid))


def _study(folder: Path) -> Study | None:
    return Study.of(*read_study(folder)) if points_in(folder).exists() else None


def _anchor(name: str) -> str:
    """As GitHub makes it from a heading."""
    kept = (letter for letter in name.lower() if letter.isalnum() or letter in " -")
    return "".join(kept).replace(" ", "-")


def _found(comparison: Comparison, study: Study | None) -> list[tuple[str, Repeated | None]]:
    variants = {} if study is None else {v.name: v for v in study.variants}
    return [(name, variants.get(name)) for name in comparison.points]


def _here(method: Entry, studies: dict[str, Study | None]) -> str:
    said = [] if method.result is None else [method.result]
    for comparison in method.comparisons:
        study = studies[comparison.study]
        models = [
            f"{name} {_signed_change(variant, study)} dB, {variant.mean(flash_bytes):,.0f} bytes, "
            f"{variant.mean(_cycles):,.0f} cycles"
            for name, variant in _found(comparison, study)
            if study is not None and variant is not None
        ]
        if models:
            said.append(f"{comparison.budget}: {'; '.join(models)}")
    return "<br>".join(said) or NOT_MEASURED


def _described(method: Entry) -> str:
    modules = ", ".join(f"`{module}`" for module in method.do)
    result = "" if method.result is None else f" {method.result}"
    return f"{method.source}. `do`: {modules}.{result}"


def _compared(comparison: Comparison, study: Study | None) -> Table:
    found = _found(comparison, study)
    skips = any(v.mean(lambda p: p.computed_share) < 1 for _, v in found if v is not None)
    rows = []
    for name, variant in found:
        if study is None or variant is None:
            rows.append(Row(None, (name, NOT_MEASURED, *[""] * (len(_SKIPPING) * skips + 6))))
            continue
        cells = (
            _signed_change(variant, study),
            signed(variant.mean(lambda p: -loss_db(p)), 2),
            f"{variant.quality.pesq_wb.mean or 0.0:.3f}",
            f"{variant.mean(lambda p: p.weights_left):,.0f}",
            f"{variant.mean(flash_bytes):,.0f}",
            f"{variant.mean(_cycles):,.0f}",
            *(_cell(variant.mean(worth), form) for worth, form in _SKIPPING.values() if skips),
            str(len(variant.points)),
        )
        rows.append(Row(None, (name, *cells)))
    return Table(
        f"{comparison.budget} (`{comparison.study}`)",
        (
            *("Model", "Δ SI-SDR against dense int8, dB", "against dense float, dB", "PESQ-WB"),
            *("Weights left", "Flash, bytes", "Cycles, SRAM"),
            *(_SKIPPING if skips else ()),
            "Seeds",
        ),
        tuple(rows),
    )


def _cycles(point: Point) -> float:
    """Mean over all hops, those included that a gate lets pass."""
    return point.computed_share * sram_cost(point).total_cycles


# Columns of a comparison in which a network skips hops: what they hold, and how it is written.
_SKIPPING: dict[str, tuple[Callable[[Point], float], str]] = {
    "Worst hop": (lambda point: sram_cost(point).total_cycles, ",.0f"),
    "Hops computed": (lambda point: point.computed_share, ".0%"),
    "in speech": (lambda point: _part(point, point.computed_in_speech), ".0%"),
    "in pauses": (lambda point: _part(point, point.computed_in_pauses), ".0%"),
}


def _part(point: Point, share: float | None) -> float:
    """Share of some hops; NaN where a network with a gate does not say."""
    unknown = 1.0 if point.computed_share == 1.0 else math.nan
    return unknown if share is None else share


def _cell(value: float, form: str) -> str:
    return "" if math.isnan(value) else f"{value:{form}}"


def _signed_change(variant: Repeated, study: Study) -> str:
    """SI-SDR against the dense network in integers."""
    return signed(loss_db(study.dense) - variant.mean(loss_db), 2)
