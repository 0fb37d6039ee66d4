"""Ablation: what each integer grid costs.

Puts a run's dense weights on integer grids without any training and scores them on the validation
mixtures and on training crops the network has not been trained on. Prints a Markdown table.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from pipeline.artefacts import RunDir
from pipeline.cli import parse, reported_errors
from pipeline.config import Config
from pipeline.models.weights import Weights
from pipeline.prepare import prepared_corpus, training_mixer
from pipeline.quantization.scheme import FLOAT, INT8, INT16, Grid, Scheme
from pipeline.train import WEIGHTS

BATCHES = 6
BATCH_SIZE = 24
GRIDS = (
    "hidden",
    "gate_input",
    "gate",
    "candidate_input",
    "candidate",
    "cell",
    "cell_tanh",
    "mask_input",
    "mask",
)
OTHER_LIMITS = (("gate_input", 4), ("mask_input", 4), ("candidate_input", 4), ("cell", 4))


def schemes() -> Iterator[tuple[str, Scheme]]:
    """Float, the two integer schemes, int8 less one grid at a time, int8 with other ranges."""
    yield "float", FLOAT
    yield "int8 weights, float activations", Scheme("weights")
    yield "int8", INT8
    yield "int16 activations and state", INT16
    for name in GRIDS:
        yield f"int8 but float {name}", _with(name, None)
    for name, limit in OTHER_LIMITS:
        yield f"int8, {name} in [-{limit}, {limit})", _with(name, Grid("int8", limit / 128))


def _with(name: str, grid: Grid | None) -> Scheme:
    return Scheme(**{**vars(INT8), name: grid})


def rows(config: Config, run_dir: RunDir) -> Iterator[tuple[str, float, float]]:
    """Name, SI-SDR improvement on validation in dB, training loss in dB of every scheme."""
    from pipeline.keras import tf
    from pipeline.training.batches import Batch
    from pipeline.training.loss import enhancement_loss
    from pipeline.training.validation import Validation

    corpus = prepared_corpus(run_dir)
    mixer = training_mixer(config, corpus)
    dense = Weights.load(run_dir.path("train") / WEIGHTS)
    unseen = [
        Batch.from_audio(*mixer.batch(config.train.steps + k, BATCH_SIZE), dense.front_end)
        for k in range(BATCHES)
    ]
    observed = dense.build().hidden_activation(tf.constant(unseen[0].features))
    validation = Validation(corpus.mixtures("valid"), dense.front_end)
    for name, scheme in schemes():
        model = dataclasses.replace(
            dense, scheme=scheme, relu_maximum=float(tf.reduce_max(observed))
        ).build()
        losses = [
            float(enhancement_loss(model(b.features), b, config.train.spectral_weight))
            for b in unseen
        ]
        yield name, validation(model)["score"], float(np.mean(losses))


def main() -> None:
    """Command line."""
    config, run_dir, _ = parse("python -m pipeline.ablation", __doc__ or "")
    print("| Grids | SI-SDR gain, dB (validation) | Loss, dB (training crops) |")
    print("| --- | ---: | ---: |")
    with reported_errors():
        for name, score, loss in rows(config, run_dir):
            print(f"| {name} | {score:.3f} | {loss:.3f} |", flush=True)


if __name__ == "__main__":
    main()
