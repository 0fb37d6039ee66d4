"""One self-contained HTML page: everything is inside it, nothing is fetched to view it."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.dsp import FRAME_SAMPLES, HOP_SAMPLES, RATE_HZ
from pipeline.reporting import charts, listening, story, tables
from pipeline.reporting.embed import flac
from pipeline.reporting.html import rendered, resource
from pipeline.reporting.listening import Clip
from pipeline.reporting.results import DENSE_FLOAT, Metric, ModelResults, Results
from pipeline.reporting.sparsity import PATCH, SparsityMap, sparsity_map

FLOAT_BYTES = 4
PLOTTED_METRICS: tuple[Metric, ...] = ("si_sdri_db", "pesq_wb")


def plotted_metrics(results: Results) -> list[Metric]:
    """Those of `PLOTTED_METRICS` that there are scores of; PESQ needs a package of its own."""
    systems = results.evaluate.systems.values()
    return [m for m in PLOTTED_METRICS if any(s.overall[m].mean is not None for s in systems)]


@dataclasses.dataclass(frozen=True)
class Network:
    """What was compressed.

    Attributes:
        parameters: weights and biases of the dense network.
        weights: the weights alone.
        bands: width of input and output.
        kept: for each variant that has masks, where each matrix ``[inputs, outputs]`` keeps its
            weights.
    """

    parameters: int
    weights: int
    bands: int
    kept: Mapping[str, Mapping[str, NDArray[np.bool_]]]


@dataclasses.dataclass(frozen=True)
class ItemRecord:
    """What one item of the run was made from."""

    name: str
    key: str
    wall_s: float


@dataclasses.dataclass(frozen=True)
class Provenance:
    """How to make the page again.

    Attributes:
        seed: the run's seed.
        config: the settings as TOML.
        items: in the order they were made.
        versions: tool versions.
    """

    seed: int
    config: str
    items: tuple[ItemRecord, ...]
    versions: Mapping[str, str]


def render(
    results: Results, network: Network, clips: tuple[Clip, ...], provenance: Provenance
) -> str:
    """Write the page of a run that makes enhancers, as HTML text."""
    float_bytes = FLOAT_BYTES * network.parameters
    left = {
        name: sum(int(matrix.sum()) for matrix in kept.values()) / network.weights
        for name, kept in network.kept.items()
    }
    left |= {
        name: 1 - made.sparsity["all"] for name, made in results.compress.items() if made.steps
    }
    summaries = story.summaries(results, left, float_bytes, HOP_SAMPLES / RATE_HZ * 1e6)
    smallest = results.smallest()
    compiled = results.compile[smallest][results.memory_modes[0]]
    plotted = plotted_metrics(results)
    return rendered(
        "page.html.j2",
        script=Markup(resource("page.js")),
        results=results,
        network=network,
        provenance=provenance,
        summaries=summaries,
        headline=next(summary for summary in summaries if summary.name == smallest),
        float_size=story.readable_bytes(float_bytes),
        hop_ms=HOP_SAMPLES / RATE_HZ * 1e3,
        algorithmic_latency_ms=FRAME_SAMPLES / RATE_HZ * 1e3,
        compiled=compiled,
        dense_gain=results.evaluate.systems[DENSE_FLOAT].overall["si_sdri_db"],
        overview=tables.overview(results),
        quality=tables.quality(results),
        per_snr=[tables.per_snr(results, metric) for metric in plotted],
        size=tables.size(results),
        cost=tables.cost(results),
        on_target=tables.on_target(results),
        snr_charts=[charts.quality_by_snr(results, metric) for metric in plotted],
        training_charts=charts.training_curves(results),
        cycle_charts=charts.cycles_by_layer(results),
        sparsity_maps={name: _maps(kept) for name, kept in network.kept.items()},
        patch=PATCH,
        proofs={name: story.proofs(c, name) for name, c in results.convert.items()},
        clips=[_clip_view(clip) for clip in clips],
        toolkit_steps=tables.toolkit_steps(results),
    )


def render_models(results: ModelResults, provenance: Provenance) -> str:
    """Write the page of a run that makes any other models, as HTML text."""
    smallest = results.smallest()
    return rendered(
        "models.html.j2",
        title=", ".join(results.compress),
        compiled=results.compile[smallest][results.memory_modes[0]],
        provenance=provenance,
        toolkit_steps=tables.toolkit_steps(results),
        size=tables.size(results),
        cost=tables.cost(results),
        inferences=tables.inferences(results),
        cycle_charts=charts.cycles_by_layer(results),
        proofs={name: story.proofs(c, name) for name, c in results.convert.items()},
    )


def _maps(kept: Mapping[str, NDArray[np.bool_]]) -> list[SparsityMap]:
    """Maps of a pruned variant; a matrix that keeps everything has nothing to show."""
    return [sparsity_map(name, matrix) for name, matrix in kept.items() if not matrix.all()]


def _clip_view(clip: Clip) -> dict[str, object]:
    tracks = [
        {"track": track, "spectrogram": image, "sound": flac(track.signal, RATE_HZ)}
        for track, image in zip(clip.tracks, listening.spectrograms(clip), strict=True)
    ]
    return {"clip": clip, "tracks": tracks, "seconds": len(clip.tracks[0].signal) / RATE_HZ}
