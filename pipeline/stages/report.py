"""Report: one self-contained HTML page, and the result tables in Markdown."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tomli_w
from numpy.typing import NDArray

from pipeline.artefacts import ArtefactError, Card, RunDir, stage, write_atomically
from pipeline.cli import reported_errors, stage_main
from pipeline.config import DENSE, Config
from pipeline.corpora.prepared import LIST_NAME, open_split
from pipeline.corpora.testset import read_list
from pipeline.dsp import RATE_HZ
from pipeline.metrics.quality import si_sdr_db
from pipeline.networks.trained import Trained
from pipeline.reporting import tables
from pipeline.reporting.listening import Clip, Track
from pipeline.reporting.page import ItemRecord, Network, Provenance, render, render_models
from pipeline.reporting.results import (
    DENSE_FLOAT,
    Results,
    read_model_results,
    read_results,
)
from pipeline.reporting.story import MINUS
from pipeline.reporting.table import Table, markdown
from pipeline.study.methods import write_methods
from pipeline.study.networks import write_networks
from pipeline.study.page import write_page

PAGE = "report.html"
TABLES = "results.md"
CLEAN, NOISY = "clean", "noisy"


@stage(
    "report",
    needs=(
        *("prepare", "train", "compress/*", "convert/*", "compile/*"),
        *("evaluate/dense", "evaluate/*", "estimate/*", "on_target/*"),
    ),
    settings=(
        "seed",
        "data",
        "mixing",
        "model",
        "train",
        "compress",
        "compile",
        "evaluate",
        "on_target",
    ),
)
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Write one self-contained HTML page, and the result tables in Markdown.

    --study DIR regenerates plots and tables of the trade-off study in DIR instead; --methods DIR
    the page on methods in DIR, from the studies below it; --networks DIR likewise the page on
    networks beside public enhancers.
    """
    cards = {item: run_dir.card(item) for item in run.input_items(config)}
    numbers = _by_stage({item: card.results for item, card in cards.items()})
    provenance = _provenance(config, cards)
    if "evaluate" in config.skipped_stages:
        others = read_model_results(numbers)
        page = render_models(others, provenance)
        shown = (*tables.toolkit_steps(others), tables.size(others), tables.cost(others))
        return _written(work_dir, page, (*shown, *filter(None, [tables.inferences(others)])))
    results = read_results(numbers)
    page = render(results, _network(run_dir, results), _clips(run_dir, results), provenance)
    shown = (tables.overview(results), tables.quality(results), tables.size(results))
    more = (tables.cost(results), *tables.on_target(results), *tables.toolkit_steps(results))
    return _written(work_dir, page, (*shown, *more))


def _written(work_dir: Path, page: str, shown: Sequence[Table]) -> dict[str, Any]:
    write_atomically(work_dir / PAGE, page)
    write_atomically(work_dir / TABLES, markdown(shown))
    return {"page_bytes": len(page.encode())}


def _by_stage(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Results of items by stage and variant; those of the evaluation by what they are."""
    stages: dict[str, dict[str, Any]] = {"evaluate": {"systems": {}, "real_time_factor": {}}}
    for item, made in results.items():
        stage, _, model = item.partition("/")
        if stage == "evaluate":
            for part, values in stages[stage].items():
                values |= made[part]
        elif model:
            stages.setdefault(stage, {})[model] = made["costs"] if stage == "estimate" else made
        else:
            stages[stage] = made
    return stages


def _network(run_dir: RunDir, results: Results) -> Network:
    dense = Trained.load(run_dir.dense)
    sizes = {part: dense.total(part) for part in ("kernel", "bias")}
    return Network(
        parameters=sizes["kernel"] + sizes["bias"],
        weights=sizes["kernel"],
        bands=dense.front_end.bands,
        kept={
            name: _kept(Trained.load(run_dir.weights(name)), variant.sparsity)
            for name, variant in results.compress.items()
            if not variant.steps
        },
    )


def _kept(weights: Trained, matrices: Iterable[str]) -> dict[str, NDArray[np.bool_]]:
    """Where each matrix keeps its weights, in the order given."""
    masks = ((name, weights.arrays.get(f"{name}/mask")) for name in matrices)
    return {name: mask != 0 for name, mask in masks if mask is not None}


def _clips(run_dir: RunDir, results: Results) -> tuple[Clip, ...]:
    """The clips that the evaluate stage kept, described where their making is on record."""
    described = _descriptions(run_dir)
    systems = results.evaluate.systems
    labels = {NOISY: "Noisy", CLEAN: "Clean", DENSE_FLOAT: systems[DENSE_FLOAT].label}
    labels |= {name: systems[name].label for name in results.compress}
    folder = run_dir.audio(DENSE)
    clips = []
    for clip in sorted(path.parent.relative_to(folder) for path in folder.rglob(f"{CLEAN}.flac")):
        signals = {
            system: _read(
                run_dir.audio(system if system in results.compress else DENSE)
                / clip
                / f"{system}.flac"
            )
            for system in labels
        }
        tracks = tuple(
            Track(
                label,
                signals[system],
                None if system == CLEAN else si_sdr_db(signals[CLEAN], signals[system]),
            )
            for system, label in labels.items()
        )
        name = clip.as_posix()
        description, credits = described.get(name, (name, ()))
        clips.append(Clip(name, description, credits, tracks))
    return tuple(clips)


def _read(path: Path) -> NDArray[np.float32]:
    try:
        signal, rate_hz = soundfile.read(path, dtype="float32")
    except (soundfile.LibsndfileError, OSError) as error:
        raise ArtefactError(
            f"{path}: cannot be read ({error}); run `python -m pipeline.evaluate --force`"
        ) from error
    if rate_hz != RATE_HZ or signal.ndim != 1:
        raise ArtefactError(f"{path}: {rate_hz} Hz, {signal.ndim}-D; expected mono at {RATE_HZ} Hz")
    return np.asarray(signal)


def _descriptions(run_dir: RunDir) -> dict[str, tuple[str, tuple[str, ...]]]:
    """What each test mixture holds, and the licences; empty for ready-made noisy recordings."""
    corpus = run_dir.corpus
    recipes = corpus / "test" / LIST_NAME
    if not recipes.exists():
        return {}
    stored = {clip.name: clip for store in open_split(corpus, "test") for clip in store.clips}
    described = {}
    for recipe in read_list(recipes).recipes:
        sources = dict.fromkeys(piece.clip for piece in recipe.speech + recipe.noise)
        credits = tuple(
            f"{name} ({stored[name].source}, licence: {stored[name].licence})" for name in sources
        )
        snr = f"{recipe.snr_db:g}".replace("-", MINUS)
        heading = f"Speech in {recipe.noise_kind} noise, {snr} dB SNR ({recipe.name})"
        described[recipe.name] = (heading, credits)
    return described


def _provenance(config: Config, cards: dict[str, Card]) -> Provenance:
    settings = config.model_dump(mode="json", include=set(run.settings))
    return Provenance(
        seed=config.seed,
        config=tomli_w.dumps(_without_none(settings)),
        items=tuple(ItemRecord(item, card.key, card.wall_s) for item, card in cards.items()),
        versions=next(iter(cards.values())).versions,
    )


def _without_none(value: Any) -> Any:
    """TOML has no null: a setting that is not given is left out."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def main() -> None:
    """Command line: of the stage, or of a page made from points."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    pages = {"study": write_page, "methods": write_methods, "networks": write_networks}
    for name in pages:
        own.add_argument(f"--{name}", type=Path)
    options, rest = own.parse_known_args()
    wanted = {name: folder for name, folder in vars(options).items() if folder is not None}
    if not wanted:
        stage_main(run)
    elif rest:
        own.error(f"--{min(wanted)} takes no other settings, got {' '.join(rest)}")
    else:
        with reported_errors():
            for name, folder in wanted.items():
                print(f"{name}: {pages[name](folder)}")


if __name__ == "__main__":
    main()
