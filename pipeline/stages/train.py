"""Train: the dense floating-point network, the reference for everything after it."""

import dataclasses
from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.errors import InputError
from pipeline.inputs import prepared_corpus, prepared_front_end, training_mixer
from pipeline.networks.graph import HopGraph
from pipeline.networks.trained import Trained, untrained
from pipeline.progress import Reporter
from pipeline.quantization import FLOAT


def check(config: Config) -> None:
    """Refuse a network that cannot be made, and weights of another one to start from.

    Raises:
        InputError: names the file, what it holds and what the settings ask for.
    """
    path, graph = config.train.initial_weights, config.network.define()
    if path is None:
        return
    given = Trained.load(path)
    if given.graph != graph.folded():
        raise InputError(
            f"train.initial_weights = {str(path)!r} holds a network of matrices "
            f"{_matrices(given.graph)}; that of [model] has {_matrices(graph)}: make them equal"
        )
    if given.scheme != FLOAT:
        raise InputError(
            f"train.initial_weights = {str(path)!r} was trained in {given.scheme.name}; give "
            "weights of a dense floating-point network, as the train stage writes"
        )


def _matrices(graph: HopGraph) -> str:
    return ", ".join(f"{name} {rows} x {n}" for name, (rows, n) in graph.matrices().items())


@stage(
    "train",
    needs=("prepare",),
    settings=("seed", "mixing", "model", "train"),
    reads=("train.initial_weights", "model.source"),
    check=check,
)
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Train the dense floating-point network."""
    from pipeline.keras import bfloat16_products, limit_threads
    from pipeline.training.loop import Settings, discard_checkpoint, fit
    from pipeline.training.validation import Validation

    limit_threads(config.train.threads)
    start = starting_network(config, run_dir)
    model = start.build()
    settings = Settings(
        steps=config.train.steps,
        batch_size=config.train.batch_size,
        learning_rate=config.train.learning_rate,
        warmup_steps=config.train.warmup_steps,
        average_decay=config.train.average_decay,
        spectral_weight=config.train.spectral_weight,
        validate_every=config.train.validate_every,
    )
    corpus = prepared_corpus(run_dir)
    with Reporter() as report, bfloat16_products(config.train.bfloat16):
        results = fit(
            model,
            training_mixer(config, corpus),
            start.front_end,
            settings,
            work_dir,
            Validation(corpus.mixtures("valid"), start.front_end),
            on_progress=lambda step, record: report(
                "train", step, settings.steps, f"SI-SDRi {record.get('score', float('nan')):.2f} dB"
            ),
        )
    dataclasses.replace(start, arrays=model.get_arrays()).save(work_dir / run_dir.dense.name)
    discard_checkpoint(work_dir)
    return results


def starting_network(config: Config, run_dir: RunDir) -> Trained:
    """What to start from: a given network, by default with its own front end, or a random one."""
    if config.train.initial_weights is None:
        return untrained(config.network, prepared_front_end(run_dir), config.seed)
    given = Trained.load(config.train.initial_weights)
    if config.train.measure_front_end:
        return dataclasses.replace(given, front_end=prepared_front_end(run_dir))
    return given


if __name__ == "__main__":
    stage_main(run)
