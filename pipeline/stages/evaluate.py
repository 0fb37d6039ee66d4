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
from pipeline.dsp import RATE_HZ, FrontEnd, enhance, ideal_ratio_mask
from pipeline.metrics.dnsmos import Dnsmos
from pipeline.metrics.peer_models import Peer
from pipeline.metrics.peers import Enhancer, Mixture, compare, load_peers
from pipeline.metrics.quality import summary_as_json
from pipeline.networks.trained import Trained
from pipeline.progress import Reporter
from pipeline.quantization import FLOAT
from pipeline.runners import HopModel, Runner, stream
from pipeline.runners.by_name import load_runner
from pipeline.stages.compile import compiled_path
from pipeline.stages.compress import weights_path
from pipeline.stages.convert import model_path
from pipeline.stages.prepare import prepared_corpus
from pipeline.stages.train import WEIGHTS

LISTEN_CLIPS = 3
AUDIO = "audio"

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
    "evaluate",
    needs=("prepare", "train", "compress", "convert", "compile"),
    sections=("data", "mixing", "model", "compress", "compile", "evaluate"),
    check=check,
)
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Score every stage's model on the fixed test mixtures, the integer ones hop by hop."""
    mixtures = list(prepared_corpus(run_dir).mixtures("test"))
    systems = _systems(config, run_dir)
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
    _write_audio(work_dir / AUDIO, listening_clips(mixtures, LISTEN_CLIPS), systems)
    return {
        "systems": summaries,
        "runner": config.evaluate.runner,
        "mixtures": len(mixtures),
        "real_time_factor": {name: round(audio_s / busy_s, 1) for name, busy_s in speeds.items()},
    }


def streamed(runner: Runner, front_end: FrontEnd) -> Enhancer:
    """Enhancement through a one-hop integer model, its state fed back from hop to hop."""
    mask = runner.outputs[HopModel.of(runner).mask]
    return lambda mixture: enhance(
        mixture.noisy,
        front_end,
        lambda features: mask.dequantize(stream(runner, features)),
    )


def listening_clips(mixtures: Sequence[FixedMixture], count: int) -> list[FixedMixture]:
    """Up to `count` mixtures from all over the list, each with another kind of noise if it can."""
    parts = np.array_split(np.arange(len(mixtures)), min(count, len(mixtures)))
    chosen: list[FixedMixture] = []
    for part in parts:
        heard = {mixture.noise_kind for mixture in chosen}
        fresh = (mixtures[k] for k in part if mixtures[k].noise_kind not in heard)
        chosen.append(next(fresh, mixtures[part[0]]))
    return chosen


def _systems(config: Config, run_dir: RunDir) -> dict[str, System]:
    dense = Trained.load(run_dir.path("train") / WEIGHTS)
    systems = {
        "noisy": System("Noisy input", "input", lambda m: m.noisy),
        "oracle": System(
            "Ideal ratio mask",
            "oracle",
            lambda m: ideal_ratio_mask(m.noisy, m.clean, config.model.bands),
        ),
    }
    if config.evaluate.peers:
        loaded = load_peers(config.data.cache_dir.expanduser(), config.evaluate.peers)
        for name, peer in loaded.items():
            systems[name] = System(name, "peer", _through(peer))
    systems["dense_float"] = System("Dense, float32", "float", in_float(dense))
    for variant in config.compress.variants:
        trained = Trained.load(weights_path(run_dir, variant.name))
        systems[f"{variant.name}_float"] = System(
            f"{variant.name}, its float weights", "float", in_float(trained)
        )
        runner = load_runner(
            config.evaluate.runner,
            model_path(run_dir, variant.name),
            compiled_path(run_dir, variant.name, config.compile.memory_modes[0]),
        )
        named = trained.scheme.name in variant.name
        label = variant.name if named else f"{variant.name}, {trained.scheme.name}"
        systems[variant.name] = System(label, "integer", streamed(runner, trained.front_end))
    return systems


def _through(peer: Peer) -> Enhancer:
    return lambda mixture: peer.enhance(mixture.noisy)


def in_float(trained: Trained) -> Enhancer:
    """Enhancement through the Keras network in floating point."""
    from pipeline.keras import tf

    # Retracing is reduced as mixtures of paired corpora have many lengths.
    network = tf.function(trained.build(FLOAT), reduce_retracing=True)
    return lambda mixture: enhance(
        mixture.noisy,
        trained.front_end,
        lambda features: network(features[None]).numpy()[0],
    )


def _write_audio(folder: Path, mixtures: Sequence[Mixture], systems: dict[str, System]) -> None:
    """Keep the clips to listen to, as every system hears them."""
    for mixture in mixtures:
        clip = folder / mixture.name
        clip.mkdir(parents=True, exist_ok=True)
        estimates = {n: s.enhance(mixture) for n, s in systems.items() if n != "oracle"}
        for name, signal in {"clean": mixture.clean, **estimates}.items():
            soundfile.write(clip / f"{name}.flac", np.clip(signal, -1.0, 1.0), RATE_HZ)


if __name__ == "__main__":
    stage_main(run)
