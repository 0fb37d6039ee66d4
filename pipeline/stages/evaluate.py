"""Evaluate: quality on the fixed test mixtures, from the noisy input to the integer model."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.corpora.testset import Mixture as FixedMixture
from pipeline.deployed import Deployed
from pipeline.dsp import RATE_HZ, ideal_ratio_mask
from pipeline.enhancers import in_float, streamed
from pipeline.inputs import prepared_corpus
from pipeline.metrics.dnsmos import Dnsmos
from pipeline.metrics.peer_models import Peer
from pipeline.metrics.peers import Enhancer, Mixture, compare, load_peers
from pipeline.metrics.quality import summary_as_json
from pipeline.models import Model
from pipeline.networks.trained import Trained
from pipeline.progress import Reporter
from pipeline.runners.by_name import load_runner

LISTEN_CLIPS = 3

Signal = NDArray[np.float32]


@dataclasses.dataclass
class System:
    """Something that turns a mixture into an estimate of the clean speech.

    Attributes:
        label: name for people.
        kind: what it is; integer systems run hop by hop with their state fed back.
        enhance: mixture -> float32 ``[samples]``.
        busy_s: time spent in `enhance` so far.
    """

    label: str
    kind: Literal["input", "oracle", "peer", "float", "integer"]
    enhance: Enhancer
    busy_s: float = 0.0

    def __call__(self, mixture: Mixture) -> Signal:
        """Enhance and keep the time."""
        started = time.perf_counter()
        estimate = self.enhance(mixture)
        self.busy_s += time.perf_counter() - started
        return estimate


def check(config: Config) -> None:
    """Refuse peers and metrics that cannot be loaded; what is missing of them is downloaded.

    Raises:
        PipelineError: as `load_peers`.
    """
    cache_dir = config.data.cache_dir.expanduser()
    load_peers(cache_dir, config.evaluate.peers)
    if config.evaluate.dnsmos:
        Dnsmos.load(cache_dir)


@stage(
    "evaluate/dense",
    needs=("prepare", "train"),
    settings=("evaluate.peers", "evaluate.dnsmos"),
    check=check,
)
def reference(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Score what models are compared with: input, ideal mask, peers, the dense network."""
    dense = Trained.load(run_dir.dense)
    systems = {
        "noisy": System("Noisy input", "input", lambda m: m.noisy),
        "oracle": System(
            "Ideal ratio mask",
            "oracle",
            lambda m: ideal_ratio_mask(m.noisy, m.clean, dense.front_end.bands),
        ),
    }
    if config.evaluate.peers:
        loaded = load_peers(config.data.cache_dir.expanduser(), config.evaluate.peers)
        for name, peer in loaded.items():
            systems[name] = System(name, "peer", _through(peer))
    systems["dense_float"] = System("Dense, float32", "float", in_float(dense))
    return _scored(config, run_dir, work_dir, systems)


@stage(
    "evaluate/{model}",
    needs=("prepare", "compress/{model}", "convert/{model}", "compile/{model}"),
    settings=("evaluate.runner", "evaluate.dnsmos"),
)
def run(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """Score every stage's model on the fixed test mixtures, the integer ones hop by hop."""
    name = model.name
    deployed = Deployed.load(run_dir.tflite(name))
    compiled = run_dir.compiled(name, config.compile.memory_modes[0])
    runner = load_runner(config.evaluate.runner, deployed.tflite, compiled)
    scheme = run_dir.card(f"convert/{name}").results["scheme"]
    label = name if scheme in name else f"{name}, {scheme}"
    systems = {}
    if not model.variant.toolkit:
        in_floats = in_float(Trained.load(run_dir.weights(name)))
        systems[f"{name}_float"] = System(f"{name}, its float weights", "float", in_floats)
    systems[name] = System(label, "integer", streamed(runner, deployed.front_end))
    return _scored(config, run_dir, work_dir, systems) | {"runner": config.evaluate.runner}


def _scored(
    config: Config, run_dir: RunDir, work_dir: Path, systems: dict[str, System]
) -> dict[str, Any]:
    """Quality of each system, the speed of the integer ones; clips to listen to are kept."""
    mixtures = list(prepared_corpus(run_dir).mixtures("test"))
    summaries = {}
    dnsmos_cache = config.data.cache_dir.expanduser() if config.evaluate.dnsmos else None
    with Reporter() as report:
        workers = config.evaluate.workers
        for result in compare(systems, mixtures, workers, report, dnsmos_cache):
            system = systems[result.name]
            heading = {"label": system.label, "kind": system.kind}
            summaries[result.name] = heading | summary_as_json(result.summary)
    audio_s = sum(mixture.noisy.size for mixture in mixtures) / RATE_HZ
    speeds = {n: s.busy_s for n, s in systems.items() if s.kind == "integer"}
    _write_audio(work_dir / "audio", listening_clips(mixtures, LISTEN_CLIPS), systems)
    return {
        "systems": summaries,
        "mixtures": len(mixtures),
        "real_time_factor": {name: round(audio_s / busy_s, 1) for name, busy_s in speeds.items()},
    }


def listening_clips(mixtures: Sequence[FixedMixture], count: int) -> list[FixedMixture]:
    """Up to `count` mixtures from all over the list, each with another kind of noise if it can."""
    parts = np.array_split(np.arange(len(mixtures)), min(count, len(mixtures)))
    chosen: list[FixedMixture] = []
    for part in parts:
        heard = {mixture.noise_kind for mixture in chosen}
        fresh = (mixtures[k] for k in part if mixtures[k].noise_kind not in heard)
        chosen.append(next(fresh, mixtures[part[0]]))
    return chosen


def _through(peer: Peer) -> Enhancer:
    return lambda mixture: peer.enhance(mixture.noisy)


def _write_audio(folder: Path, mixtures: Sequence[Mixture], systems: dict[str, System]) -> None:
    """Keep the clips to listen to, as every system hears them."""
    for mixture in mixtures:
        clip = folder / mixture.name
        clip.mkdir(parents=True, exist_ok=True)
        estimates = {n: s.enhance(mixture) for n, s in systems.items() if n != "oracle"}
        # Each item tells it all, so that one can be played without another.
        for name, signal in {"clean": mixture.clean, **estimates}.items():
            soundfile.write(clip / f"{name}.flac", np.clip(signal, -1.0, 1.0), RATE_HZ)


if __name__ == "__main__":
    stage_main(reference, run)
