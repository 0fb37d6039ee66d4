"""Ablation: what each integer grid costs.

Puts a run's dense weights on integer grids without any training and scores them on the validation
mixtures and on training crops the network has not been trained on. Prints a Markdown table.
"""

from collections.abc import Iterator

import numpy as np

from pipeline.artefacts import RunDir
from pipeline.cli import parse, reported_errors
from pipeline.config import Config
from pipeline.inputs import prepared_corpus, training_mixer
from pipeline.networks.graph import HopGraph
from pipeline.networks.trained import Trained
from pipeline.quantization.scheme import FLOAT, INT8, INT16, Grid, Scheme
from pipeline.reporting.table import Table

BATCHES = 6
BATCH_SIZE = 24
LIMIT = 4
OTHER_LIMITS = ("gate_input", "mask_input", "candidate_input", "cell")


def schemes(graph: HopGraph) -> Iterator[tuple[str, Scheme]]:
    """Float, the two integer schemes, int8 less one grid at a time, int8 with other ranges."""
    roles = [role for role in INT8.grids if role in graph.roles().values()]
    yield "float", FLOAT
    yield "int8 weights, float activations", Scheme("weights")
    yield "int8", INT8
    yield "int16 activations and state", INT16
    for role in roles:
        grids = {name: grid for name, grid in INT8.grids.items() if name != role}
        yield f"int8 but float {role}", Scheme("int8", grids)
    for role in (role for role in OTHER_LIMITS if role in roles):
        grids = {**INT8.grids, role: Grid("int8", LIMIT / 128)}
        yield f"int8, {role} in [-{LIMIT}, {LIMIT})", Scheme("int8", grids)


def rows(config: Config, run_dir: RunDir) -> Iterator[tuple[str, float, float]]:
    """Name, SI-SDR improvement on validation in dB, training loss in dB of every scheme."""
    from pipeline.quantization.calibration import in_scheme
    from pipeline.training.batches import Batch
    from pipeline.training.loss import enhancement_loss
    from pipeline.training.validation import Validation

    corpus = prepared_corpus(run_dir)
    mixer = training_mixer(config, corpus)
    dense = Trained.load(run_dir.dense)
    unseen = [
        Batch.from_audio(*mixer.batch(config.train.steps + k, BATCH_SIZE), dense.front_end)
        for k in range(BATCHES)
    ]
    validation = Validation(corpus.mixtures("valid"), dense.front_end)
    for name, scheme in schemes(dense.graph):
        start = in_scheme(dense, scheme, unseen[0].features) if scheme.grids else dense
        model = start.build(start.scheme if scheme.grids else scheme)
        losses = [
            float(enhancement_loss(model(b.features), b, config.train.spectral_weight))
            for b in unseen
        ]
        yield name, validation(model)["score"], float(np.mean(losses))


def main() -> None:
    """Command line."""
    options = parse("python -m pipeline.ablation", __doc__ or "")
    config, run_dir = options.config, options.run_dir
    columns = ("Grids", "SI-SDR gain, dB (validation)", "Loss, dB (training crops)")
    with reported_errors():
        lines = [
            (name, f"{score:.3f}", f"{loss:.3f}") for name, score, loss in rows(config, run_dir)
        ]
    print(Table.of("", columns, lines).markdown(), end="")


if __name__ == "__main__":
    main()
