"""Compress: prune and train in integers, one fine-tune of the dense network for each variant."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artefacts import RunDir, stage, write_json
from pipeline.cli import stage_main
from pipeline.config import Config, Variant
from pipeline.dsp import stft
from pipeline.models.weights import Weights
from pipeline.prepare import prepared_corpus, training_mixer
from pipeline.progress import Reporter
from pipeline.quantization import SCHEMES
from pipeline.train import WEIGHTS

RANGE_BATCH = 64
# The ReLU grid reaches a little above the largest value seen.
RANGE_MARGIN = 1.1
RESULT = "result.json"


@stage(
    "compress",
    needs=("prepare", "train"),
    sections=("data", "mixing", "model", "train", "compress"),
)
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Prune and train in integers, one fine-tune of the dense network for each variant."""
    return {
        variant.name: _compress(config, run_dir, variant, work_dir / variant.name)
        for variant in config.compress.variants
    }


def weights_path(run_dir: RunDir, name: str) -> Path:
    """Where a variant's weights lie."""
    return run_dir.path("compress") / name / f"{name}.safetensors"


def _compress(config: Config, run_dir: RunDir, variant: Variant, work_dir: Path) -> dict[str, Any]:
    """Train one variant; a finished one is not trained again after a kill."""
    from pipeline.compression.pruner import GradualPruner, sparsity_of
    from pipeline.keras import limit_threads, tf
    from pipeline.training.loop import Settings, discard_checkpoint, fit
    from pipeline.training.validation import Validation

    finished = work_dir / RESULT
    if finished.exists():
        result: dict[str, Any] = json.loads(finished.read_text())
        return result
    work_dir.mkdir(exist_ok=True)
    limit_threads(config.train.threads)
    corpus = prepared_corpus(run_dir)
    mixer = training_mixer(config, corpus)
    dense = Weights.load(run_dir.path("train") / WEIGHTS)
    noisy, _ = mixer.batch(0, RANGE_BATCH)
    features = dense.front_end.features(np.abs(stft(noisy)))
    observed = float(tf.reduce_max(dense.build().hidden_activation(tf.constant(features))))
    scheme = SCHEMES[config.compress.scheme]
    start = Weights(
        dense.model, dense.front_end, dense.arrays, scheme, round(observed * RANGE_MARGIN, 4)
    )
    model = start.build()
    prune_end = round(config.compress.steps * config.compress.prune_until)
    settings = Settings(
        steps=config.compress.steps,
        batch_size=config.train.batch_size,
        learning_rate=config.compress.learning_rate,
        warmup_steps=min(config.train.warmup_steps, config.compress.steps // 10),
        average_decay=config.train.average_decay,
        spectral_weight=config.train.spectral_weight,
        validate_every=config.compress.validate_every,
        keep_best_from=prune_end + 1 if variant.sparsity else 0,
    )
    pruner = GradualPruner(model, variant.sparsity, prune_end, config.compress.prune_every)
    with Reporter() as report:
        results = fit(
            model,
            mixer,
            dense.front_end,
            settings,
            work_dir,
            Validation(corpus.mixtures("valid"), dense.front_end),
            callbacks=[pruner],
            on_progress=lambda step, record: report(
                variant.name,
                step,
                settings.steps,
                f"SI-SDRi {record.get('score', float('nan')):.2f} dB",
            ),
        )
    trained = Weights(dense.model, dense.front_end, model.get_arrays(), scheme, start.relu_maximum)
    trained.save(work_dir / f"{variant.name}.safetensors")
    discard_checkpoint(work_dir)
    results |= {"sparsity": sparsity_of(model), "scheme": scheme.name}
    write_json(finished, results)
    return results


if __name__ == "__main__":
    stage_main(run)
