"""Train: the dense floating-point network, the reference for everything after it."""

from pathlib import Path
from typing import Any

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.models.masknet import MaskNet
from pipeline.models.weights import Weights
from pipeline.prepare import prepared_corpus, prepared_front_end, training_mixer
from pipeline.progress import Reporter

WEIGHTS = "dense.safetensors"


@stage("train", needs=("prepare",), sections=("data", "mixing", "model", "train"))
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
