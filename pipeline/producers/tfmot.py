"""Any Keras model through the TensorFlow Model Optimization toolkit, sparsity watched on the way.

Pruning (Zhu and Gupta, 2017), clustering and quantization-aware training with the toolkit's own
wrappers, in the order given, then TensorFlow's converter. Each later step is told to preserve what
the earlier ones made; because that is easily lost, the share of zeros and the distinct values of
every weight are taken after each step and again from the integers in the file.

Scales are calibrated by the toolkit, so that TFLite, TensorFlow Lite Micro and the NPU may differ
by single steps: what is proven here is measured, not exact by construction.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.deployed import Comparison, IntegerDifference
from pipeline.ethosu.errors import GoldenError
from pipeline.ethosu.golden_process import GoldenProcess
from pipeline.ethosu.surgery import named_ends
from pipeline.ethosu.weight_statistics import weight_tensors
from pipeline.keras import tf, tf_keras
from pipeline.producers.settings import (
    Cluster,
    ProducerError,
    Prune,
    Quantize,
    Step,
    Train,
    check_order,
)
from pipeline.runners.tflite import TfliteRunner
from pipeline.user_code import function_at

COMPARED_INFERENCES = 32


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a user's function returns: a network and what it is trained on.

    Attributes:
        model: a built functional or sequential ``tf_keras`` model.
        train, valid: batched data sets of (inputs, targets); `train` is finite.
        loss: anything Keras takes as a loss.
        metrics: names or functions, reported after every step.
        judge: what else to report of the network after a step, by name.
        deployed: what to convert, made of the quantized network; as it is, if not given.
    """

    model: tf_keras.Model
    train: tf.data.Dataset
    valid: tf.data.Dataset
    loss: Any
    metrics: Sequence[Any] = ()
    judge: Callable[[tf_keras.Model], Mapping[str, float]] = lambda model: {}
    deployed: Callable[[tf_keras.Model], tf_keras.Model] = lambda quantized: quantized


@dataclasses.dataclass(frozen=True)
class WeightStatistics:
    """One weight tensor: how many elements, the share of zeros, and how many distinct values."""

    name: str
    elements: int
    zeros: float
    distinct: int


@dataclasses.dataclass(frozen=True)
class StepReport:
    """The network after a step: its weights, and loss and metrics on the validation data.

    After quantization the weights are the integers in the file.
    """

    do: str
    weights: tuple[WeightStatistics, ...]
    scores: dict[str, float]

    def __str__(self) -> str:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.scores.items())
        return f"{self.do}: {scores}, {100 * self.zeros:.1f} % zeros"

    @property
    def zeros(self) -> float:
        """Share of zeros over all weights."""
        elements = sum(weight.elements for weight in self.weights)
        return sum(weight.zeros * weight.elements for weight in self.weights) / max(elements, 1)


@dataclasses.dataclass(frozen=True)
class Produced:
    """An int8 TFLite file, how it came about step by step, and how far its runtimes agree.

    There is no proof of a model that one of the runtimes refuses.
    """

    tflite: bytes
    reports: tuple[StepReport, ...]
    proof: Comparison | None

    def results(self) -> dict[str, Any]:
        """As results of a stage."""
        last = self.reports[-1]
        by_weight = {weight.name: weight.zeros for weight in last.weights}
        return {
            "steps": [
                dataclasses.asdict(report) | {"zeros": round(report.zeros, 6)}
                for report in self.reports
            ],
            "scheme": "int8",
            "sparsity": by_weight | {"all": round(last.zeros, 6)},
            "units": {},
            "proof": self.proof and self.proof.model_dump(),
        }


def load_problem(place: str, seed: int) -> Problem:
    """Call a user's function, given as ``module:function``; what it draws it draws from `seed`.

    Raises:
        InputError: there is no such module or function, or it returns something else.
    """
    make = function_at(place)
    tf_keras.utils.set_random_seed(seed)
    made = make()
    if not isinstance(made, Problem):
        raise ProducerError(
            f"{place} returned {type(made).__name__}; expected pipeline.producers.tfmot.Problem"
        )
    return made


def produce(
    problem: Problem,
    steps: Sequence[Step],
    seed: int = 1,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> Produced:
    """Take a network through the steps and convert it to an int8 TFLite file.

    Args:
        problem: the network and its data.
        steps: in order; the last one has to be `Quantize`, and there is one such step.
        seed: of whatever Keras draws.
        on_step: told the state of the network after every step.

    Raises:
        ProducerError: steps in an impossible order, or a layer the toolkit does not know.
    """
    check_order(steps)
    if problem.train.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ProducerError("train repeats without end; give a data set of one epoch")
    tf_keras.utils.set_random_seed(seed)
    model, tflite = problem.model, b""
    reports: list[StepReport] = []
    for step in steps:
        done = {report.do for report in reports}
        model = _run(step, model, problem, pruned="prune" in done, clustered="cluster" in done)
        scores = _scores(model, problem)
        if step.do == "quantize":
            tflite = _converted(problem.deployed(model))
            weights = tuple(
                WeightStatistics(w.name, w.elements, round(w.sparsity, 6), w.distinct_values)
                for w in weight_tensors(tflite)
            )
        else:
            weights = _statistics(model)
        reports.append(StepReport(step.do, weights, scores))
        on_step(reports[-1])
    return Produced(tflite, tuple(reports), _compared(tflite))


def _compared(tflite: bytes) -> Comparison | None:
    """TFLite's kernels beside TFLite Micro's on integers over each input's whole range."""
    rng = np.random.default_rng(0)
    values = mismatching = worst_lsb = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(tflite)
        try:
            with GoldenProcess("tflite", path) as ours, GoldenProcess("tflm", path) as theirs:
                specs = TfliteRunner(tflite).inputs.items()
                for _ in range(COMPARED_INFERENCES):
                    inputs = {n: rng.integers(-128, 128, s.shape, np.int8) for n, s in specs}
                    outputs = theirs.invoke(inputs)
                    for name, expected in ours.invoke(inputs).items():
                        step = np.abs(expected.astype(np.int32) - outputs[name].astype(np.int32))
                        values += step.size
                        mismatching += int(np.count_nonzero(step))
                        worst_lsb = max(worst_lsb, int(step.max()))
        except GoldenError:
            return None
    difference = IntegerDifference(values=values, mismatching=mismatching, worst_lsb=worst_lsb)
    return Comparison(tflite_vs_tflm=difference)


def _run(
    step: Step, model: tf_keras.Model, problem: Problem, *, pruned: bool, clustered: bool
) -> tf_keras.Model:
    """The model after one step, without the toolkit's wrappers but for those of quantization."""
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import (
        cluster as preserving,
    )

    match step:
        case Train():
            return _fitted(model, step, problem)
        case Prune():
            wrapped = _named(
                tfmot.sparsity.keras.prune_low_magnitude, model, **_pruning(step, problem)
            )
            callback = tfmot.sparsity.keras.UpdatePruningStep()
            return tfmot.sparsity.keras.strip_pruning(_fitted(wrapped, step, problem, callback))
        case Cluster():
            wrapped = _named(
                preserving.cluster_weights,
                model,
                number_of_clusters=step.clusters,
                cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
                preserve_sparsity=pruned,
            )
            return tfmot.clustering.keras.strip_clustering(_fitted(wrapped, step, problem))
        case Quantize():
            annotated = _named(tfmot.quantization.keras.quantize_annotate_model, model)
            scheme = _preserving_scheme(pruned, clustered)
            return _fitted(
                _named(tfmot.quantization.keras.quantize_apply, annotated, scheme=scheme),
                step,
                problem,
            )


def _pruning(step: Prune, problem: Problem) -> dict[str, Any]:
    from tensorflow_model_optimization.sparsity.keras import ConstantSparsity, PolynomialDecay

    if step.m_by_n is not None:
        zeros, group = step.m_by_n
        schedule: Any = ConstantSparsity(zeros / group, begin_step=0, frequency=1)
        return {"pruning_schedule": schedule, "sparsity_m_by_n": step.m_by_n}
    total = step.epochs * int(problem.train.cardinality())
    if total < 0 and step.schedule == "polynomial":
        raise ProducerError(
            "how many batches train has is not known, which a schedule needs; say it by "
            "train.apply(tf.data.experimental.assert_cardinality(batches))"
        )
    if step.schedule == "constant":
        schedule = ConstantSparsity(step.sparsity, begin_step=0, frequency=1)
    else:
        schedule = PolynomialDecay(0.0, step.sparsity, 0, max(total // 2, 1), frequency=1)
    return {"pruning_schedule": schedule, "block_size": step.block}


def _preserving_scheme(pruned: bool, clustered: bool) -> Any:
    from tensorflow_model_optimization.experimental import combine
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme as plain,
    )

    if clustered:
        return combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=pruned)
    if pruned:
        return combine.Default8BitPrunePreserveQuantizeScheme()
    return plain.Default8BitQuantizeScheme()


def _named(wrap: Callable[..., Any], model: tf_keras.Model, **options: Any) -> tf_keras.Model:
    """Call the toolkit; what it refuses is said with the layer and a way out."""
    try:
        return wrap(model, **options)
    except (RuntimeError, ValueError) as error:
        words = re.sub(r"\s+", " ", str(error)).strip()
        raise ProducerError(
            f"the optimization toolkit refuses the model: {words[:300]}; use layers it knows "
            "(convolutions, Dense, pooling, BatchNormalization, ReLU, Add, Concatenate)"
        ) from error


def _fitted(model: tf_keras.Model, step: Step, problem: Problem, *callbacks: Any) -> tf_keras.Model:
    model.compile(
        optimizer=tf_keras.optimizers.Adam(step.learning_rate),
        loss=problem.loss,
        metrics=list(problem.metrics),
    )
    model.fit(problem.train, epochs=step.epochs, verbose=0, callbacks=list(callbacks))
    return model


def _scores(model: tf_keras.Model, problem: Problem) -> dict[str, float]:
    model.compile(loss=problem.loss, metrics=list(problem.metrics))
    values = model.evaluate(problem.valid, verbose=0, return_dict=True) | problem.judge(model)
    for name, value in values.items():
        if not np.isfinite(value):
            raise ProducerError(f"training diverged: {name} is {value}; lower the learning_rate")
    return {name: round(float(value), 6) for name, value in values.items()}


def _statistics(model: tf_keras.Model) -> tuple[WeightStatistics, ...]:
    """Of every kernel of a network without wrappers."""
    found = []
    for layer in model.layers:
        for name in ("kernel", "depthwise_kernel"):
            if (kernel := getattr(layer, name, None)) is not None:
                values = np.asarray(kernel)
                zeros = round(float(np.mean(values == 0)), 6)
                found.append(
                    WeightStatistics(layer.name, values.size, zeros, len(np.unique(values)))
                )
    return tuple(found)


def _converted(model: tf_keras.Model) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        return named_ends(bytes(converter.convert()))
    except Exception as error:
        # The converter raises whatever its layers raise.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ProducerError(f"TensorFlow's converter refuses the model: {lines[0]}") from error
