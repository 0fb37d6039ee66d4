"""Train: the dense floating-point network, the reference for everything after it."""

from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config, Model
from pipeline.errors import InputError
from pipeline.models.masknet import MaskNet
from pipeline.models.weights import Weights
from pipeline.prepare import prepared_corpus, prepared_front_end, training_mixer
from pipeline.progress import Reporter
from pipeline.quantization import FLOAT

WEIGHTS = "dense.safetensors"


def check(config: Config) -> None:
    """Refuse weights to start from that are not a dense network of the configured size.

    Raises:
        InputError: names the file, what it holds and what the settings ask for.
    """
    path = config.train.initial_weights
    if path is None:
        return
    weights = Weights.load(path)
    if weights.model != config.model:
        raise InputError(
            f"train.initial_weights = {str(path)!r} holds a network of {_sizes(weights.model)}; "
            f"[model] is {_sizes(config.model)}: make them equal"
        )
    if weights.scheme != FLOAT:
        raise InputError(
            f"train.initial_weights = {str(path)!r} was trained in {weights.scheme.name}; give "
            "weights of a dense floating-point network, as the train stage writes"
        )
    if weights.front_end.bands != config.model.bands:
        raise InputError(
            f"train.initial_weights = {str(path)!r} has a front end of "
            f"{weights.front_end.bands} bands for a network of {config.model.bands}: damaged"
        )
    try:
        weights.build()
    except InputError as error:
        raise InputError(f"train.initial_weights = {str(path)!r}: {error}") from error


def _sizes(model: Model) -> str:
    return ", ".join(f"{name} = {value}" for name, value in model.model_dump(mode="json").items())


@stage(
    "train",
    needs=("prepare",),
    sections=("data", "mixing", "model", "train"),
    reads=("train.initial_weights",),
    check=check,
)
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Train the dense floating-point network."""
    from pipeline.keras import limit_threads
    from pipeline.training.loop import Settings, discard_checkpoint, fit
    from pipeline.training.validation import Validation

    limit_threads(config.train.threads)
    weights = _initial_weights(config, run_dir)
    model = weights.build()
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
    with Reporter() as report:
        results = fit(
            model,
            training_mixer(config, corpus),
            weights.front_end,
            settings,
            work_dir,
            Validation(corpus.mixtures("valid"), weights.front_end),
            on_progress=lambda step, record: report(
                "train", step, settings.steps, f"SI-SDRi {record.get('score', float('nan')):.2f} dB"
            ),
        )
    Weights(config.model, weights.front_end, model.get_arrays()).save(work_dir / WEIGHTS)
    discard_checkpoint(work_dir)
    return results


def _initial_weights(config: Config, run_dir: RunDir) -> Weights:
    """The weights to start from: given ones with their own front end, or random ones."""
    if config.train.initial_weights is not None:
        return Weights.load(config.train.initial_weights)
    sizes = config.model
    network = MaskNet(sizes, seed=config.seed)
    return Weights(sizes, prepared_front_end(run_dir), network.get_arrays())


if __name__ == "__main__":
    stage_main(run)
