"""Compress: sparsity and int8 weights learned together, one model per variant."""

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artefacts import RunDir, stage, write_atomically
from pipeline.cli import stage_main
from pipeline.compression.method import Method, Plan
from pipeline.config import DENSE, Config
from pipeline.dsp import analyse
from pipeline.errors import InputError
from pipeline.inputs import prepared_corpus, training_mixer
from pipeline.models import Model
from pipeline.networks.groups import groups, remove_masked_units
from pipeline.networks.problem import ToolkitProblem
from pipeline.networks.trained import Trained
from pipeline.producers.settings import check_known
from pipeline.progress import Reporter
from pipeline.quantization import FLOAT, SCHEMES

if TYPE_CHECKING:
    from pipeline.producers.tfmot import Problem, StepReport

# Mixtures that ranges and principal components are taken from.
OBSERVED_BATCH = 64


def check(config: Config) -> None:
    """Refuse no variants, and methods that cannot work on what their parents leave.

    Raises:
        InputError: names the variant and the way out.
    """
    if not config.compress.variants:
        raise InputError("compress.variants is empty; give at least one model to make")
    if isinstance(config.model, ToolkitProblem):
        config.model.check()
        return
    graph, applied = config.network.define().folded(), {DENSE: list[Method]()}
    for variant in config.compress.variants:
        if variant.toolkit:
            check_known(graph)
            continue
        applied[variant.name] = before = list(applied[variant.parent])
        for method in variant.methods:
            try:
                method.check(graph, before)
            except InputError as error:
                raise InputError(f"variant {variant.name!r}: {error}") from error
            before.append(method)


@stage(
    "compress/{model}",
    needs=("prepare", "train", "compress/{parent}"),
    settings=("seed", "mixing", "train", "compress"),
    check=check,
    of=lambda model: not model.variant.toolkit,
)
def run(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """Prune and quantize the dense network, jointly learned: one model per variant."""
    from pipeline.compression.pruner import sparsity_of
    from pipeline.keras import limit_threads
    from pipeline.quantization.calibration import in_scheme
    from pipeline.training.loop import Settings, discard_checkpoint, fit
    from pipeline.training.validation import Validation

    variant = model.variant
    limit_threads(config.train.threads)
    corpus = prepared_corpus(run_dir)
    mixer = training_mixer(config, corpus)
    dense = Trained.load(run_dir.dense)
    noisy, _ = mixer.batch(0, OBSERVED_BATCH)
    _, features = analyse(noisy, dense.front_end)
    if variant.parent == DENSE:
        start = in_scheme(dense, SCHEMES[config.compress.scheme], features)
    else:
        start = Trained.load(run_dir.weights(variant.parent))
    for method in variant.methods:
        start = method.start(start, features)
    network = start.build()
    validation = Validation(corpus.mixtures("valid"), dense.front_end)
    if not variant.trains:
        results: dict[str, Any] = {"history": [], "best_score": validation(network)["score"]}
    else:
        steps = variant.steps or config.compress.steps
        prune_end = round(steps * config.compress.prune_until)
        plan = Plan(steps, prune_end, config.compress.prune_every)
        settings = Settings(
            steps=steps,
            batch_size=config.train.batch_size,
            learning_rate=variant.learning_rate or config.compress.learning_rate,
            warmup_steps=min(config.train.warmup_steps, steps // 10),
            average_decay=config.train.average_decay,
            spectral_weight=config.train.spectral_weight,
            distillation_weight=(
                config.compress.distillation_weight
                if variant.distillation_weight is None
                else variant.distillation_weight
            ),
            validate_every=config.compress.validate_every,
            keep_best_from=max((m.last_change(plan) for m in variant.methods), default=0),
        )
        callbacks = [call for m in variant.methods for call in m.callbacks(network, plan)]
        with Reporter() as report:
            results = fit(
                network,
                mixer,
                dense.front_end,
                settings,
                work_dir,
                validation,
                callbacks=callbacks,
                teacher=dense.build(FLOAT),
                on_progress=lambda step, record: report(
                    variant.name,
                    step,
                    settings.steps,
                    f"SI-SDRi {record.get('score', float('nan')):.2f} dB",
                ),
            )
    for matrix in network.matrices:
        matrix.settle()
    results |= {"sparsity": sparsity_of(network), "scheme": start.scheme.name}
    for method in variant.methods:
        results |= method.findings(network)
    trained = remove_masked_units(dataclasses.replace(start, arrays=network.get_arrays()))
    trained.save(work_dir / run_dir.weights(variant.name).name)
    discard_checkpoint(work_dir)
    return results | {"units": {group.name: group.units for group in groups(trained.graph)}}


@stage(
    "compress/{model}",
    needs=("prepare", "train"),
    settings=("seed", "mixing", "model", "train", "compress"),
    reads=("model.source",),
    check=check,
    of=lambda model: bool(model.variant.toolkit),
)
def by_toolkit(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """Prune and quantize with the TensorFlow Model Optimization toolkit, for variants that say so.

    Zeros and distinct values of every weight are on record after each step.
    """
    from pipeline.keras import limit_threads
    from pipeline.producers.tfmot import load_problem, produce

    limit_threads(config.train.threads)
    steps, name = model.variant.toolkit, model.name
    if isinstance(config.model, ToolkitProblem):
        problem = load_problem(config.model.problem, config.seed)
    else:
        problem = _enhancement(config, run_dir)
    done: list[str] = []
    with Reporter() as report:

        def announce(step: "StepReport") -> None:
            done.append(step.do)
            report.note(f"{name}: {step}")
            report(name, len(done), len(steps))

        report(name, 0, len(steps))
        produced = produce(problem, steps, config.seed, announce)
    write_atomically(work_dir / run_dir.produced(name).name, produced.tflite)
    if isinstance(config.model, ToolkitProblem):
        return produced.results()
    epochs = itertools.accumulate(step.epochs for step in steps)
    history = [
        {"step": epoch * config.compress.validate_every} | step.scores
        for epoch, step in zip(epochs, produced.reports, strict=True)
    ]
    return produced.results() | {"history": history}


def _enhancement(config: Config, run_dir: RunDir) -> "Problem":
    """What the built-in networks are trained for."""
    from pipeline.producers.enhancer import enhancement
    from pipeline.training.validation import Validation

    dense, corpus = Trained.load(run_dir.dense), prepared_corpus(run_dir)
    held_out = list(corpus.mixtures("valid"))
    return enhancement(
        dense,
        training_mixer(config, corpus),
        held_out,
        batch_size=config.train.batch_size,
        epoch_steps=config.compress.validate_every,
        spectral_weight=config.train.spectral_weight,
        judge=Validation(held_out, dense.front_end),
    )


if __name__ == "__main__":
    stage_main(by_toolkit, run)
