"""Optimizer loop with weight averaging, validation, checkpoints and exact resume."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import safetensors.numpy as safetensors
from safetensors import safe_open

from pipeline.artefacts import write_atomically
from pipeline.dsp.frontend import FrontEnd
from pipeline.errors import InputError
from pipeline.keras import tf, tf_keras
from pipeline.training.batches import Batch, MixtureSource, prefetched
from pipeline.training.loss import enhancement_loss, imitation_loss
from pipeline.training.model import SequenceModel
from pipeline.training.recipe import CONTINUED_SHARE, GRADIENT_NORM_LIMIT

FINAL_RATE_SHARE = 0.02
CHECKPOINT = "checkpoint.safetensors"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Length and pace of one training.

    Attributes:
        steps: optimizer steps.
        batch_size: crops in a batch.
        learning_rate: peak of the cosine schedule.
        warmup_steps: linear warm-up before it.
        average_decay: decay of the exponential moving average of the weights.
        spectral_weight, distillation_weight: see `pipeline.training.loss`.
        validate_every: steps between validations; each one also writes a checkpoint.
        keep_best_from: first step whose validation may be kept (a pruned model is only
            comparable once it has reached its final sparsity); at 0 the starting weights count.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    average_decay: float
    spectral_weight: float
    validate_every: int
    distillation_weight: float = 0.0
    keep_best_from: int = 0


class Callback(Protocol):
    """Work done between steps, e.g. a pruning method updating its masks."""

    def before_step(self, step: int) -> None:
        """Called before step ``step`` is computed."""


@runtime_checkable
class MaskLearner(Callback, Protocol):
    """A callback that learns masks from their gradients."""

    @property
    def state(self) -> list["tf.Variable"]:
        """What it has learned so far; it goes to the checkpoint."""

    def after_step(self, step: int, mask_gradients: dict[str, np.ndarray]) -> None:
        """Told the loss gradient of every mask entry by matrix, after step ``step``."""


@runtime_checkable
class LossTerm(Callback, Protocol):
    """A callback that adds to the loss."""

    def loss(
        self, before: dict[str, "tf.Tensor"], after: dict[str, "tf.Tensor"], hops: "tf.Tensor"
    ) -> "tf.Tensor":
        """A scalar, from the memories before and after so many hops of a batch."""


@dataclasses.dataclass
class _Progress:
    step: int = 0
    best_score: float = -np.inf
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def rate_at(step: int, settings: Settings) -> float:
    """Learning rate of a step: linear warm-up, then a cosine down to 2 % of the peak."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    cosine = 0.5 * (1 + np.cos(np.pi * done))
    return settings.learning_rate * (FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * cosine)


def fit(
    model: SequenceModel,
    source: MixtureSource,
    front_end: FrontEnd,
    settings: Settings,
    work_dir: Path,
    validate: Callable[[SequenceModel], dict[str, float]],
    callbacks: Sequence[Callback] = (),
    teacher: SequenceModel | None = None,
    on_progress: Callable[[int, dict[str, float]], None] = lambda step, record: None,
) -> dict[str, Any]:
    """Train ``model`` and leave the best averaged weights in it.

    After every validation the whole state goes to ``work_dir``; called again after a kill,
    training continues from there with the batches it would have seen.

    Args:
        validate: scores the model; its ``score`` entry (higher is better) selects the best.
        teacher: network whose mask is imitated as well, if ``distillation_weight`` is not 0.
        on_progress: told the step and the latest record after every step.

    Returns:
        ``history`` (one record a validation), ``best_score`` and ``step_ms`` (without mixing).
    """
    optimizer = tf_keras.optimizers.Adam(settings.learning_rate)
    variables = model.trainable_weights
    average = [tf.Variable(v, trainable=False) for v in variables]
    best = [tf.Variable(v, trainable=False) for v in model.weights]
    optimizer.build(variables)
    learners = [callback for callback in callbacks if isinstance(callback, MaskLearner)]
    learned = [variable for learner in learners for variable in learner.state]
    carried = _Carried(model, settings.batch_size)
    taught = _Carried(teacher, settings.batch_size) if teacher is not None else None
    state = [*model.weights, *optimizer.variables, *average, *best, *learned]
    state += [*carried.variables, *(taught.variables if taught else [])]
    progress = _resume(state, work_dir)

    masks = [matrix.mask for matrix in model.matrices] if learners else []
    terms = [callback for callback in callbacks if isinstance(callback, LossTerm)]

    @tf.function(reduce_retracing=True)
    def train_step(
        arrays: dict[str, "tf.Tensor"], decay: "tf.Tensor", continued: "tf.Tensor"
    ) -> tuple["tf.Tensor", list["tf.Tensor"]]:
        with tf.GradientTape() as tape:
            tape.watch(masks)
            mask, before, after = carried.masks(arrays["features"], continued, training=True)
            loss = enhancement_loss(mask, Batch(**arrays), settings.spectral_weight)
            for term in terms:
                loss += term.loss(before, after, tf.shape(mask)[1])
            if taught is not None and settings.distillation_weight > 0:
                target, *_ = taught.masks(arrays["features"], continued)
                imitation = imitation_loss(mask, target, Batch(**arrays))
                loss += settings.distillation_weight * imitation
        gradients = tape.gradient(loss, [*variables, *masks])
        gradients, mask_gradients = gradients[: len(variables)], gradients[len(variables) :]
        gradients, _ = tf.clip_by_global_norm(gradients, GRADIENT_NORM_LIMIT)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        for mean, variable in zip(average, variables, strict=True):
            mean.assign_sub((1 - decay) * (mean - variable))
        return loss, mask_gradients

    losses: list[float] = []
    seconds = 0.0
    first = progress.step
    if first == 0 and settings.keep_best_from == 0:
        progress.best_score = validate(model)["score"]
    batches = prefetched(source, front_end, settings.batch_size, range(first, settings.steps))
    record: dict[str, float] = {}
    for step, batch in enumerate(batches, start=first):
        for callback in callbacks:
            callback.before_step(step)
        started = time.perf_counter()
        optimizer.learning_rate.assign(rate_at(step, settings))
        arrays = {name: tf.constant(value) for name, value in vars(batch).items()}
        decay = min(settings.average_decay, (1 + step) / (10 + step))
        continued = np.random.default_rng(step).random(settings.batch_size) < CONTINUED_SHARE
        loss, mask_gradients = train_step(
            arrays, tf.constant(decay, tf.float32), tf.constant(continued, tf.float32)
        )
        losses.append(float(loss))
        if not np.isfinite(losses[-1]):
            raise InputError(
                f"training: the loss of step {step} is {losses[-1]}; lower the learning rate"
            )
        for learner in learners:
            learner.after_step(
                step,
                {
                    matrix.name: gradient.numpy()
                    for matrix, gradient in zip(model.matrices, mask_gradients, strict=True)
                },
            )
        seconds += time.perf_counter() - started

        done = step + 1
        if done % settings.validate_every == 0 or done == settings.steps:
            record = {"step": done, "loss": float(np.mean(losses))}
            record |= _validated(model, average, best, validate, progress, settings, done)
            progress.history.append(record)
            losses = []
            progress.step = done
            _save(state, progress, work_dir)
        on_progress(done, record)

    for variable, kept in zip(model.weights, best, strict=True):
        variable.assign(kept)
    return {
        "history": progress.history,
        "best_score": progress.best_score,
        "step_ms": round(1000 * seconds / max(1, settings.steps - first), 1),
    }


class _Carried:
    """Masks of crops some of which go on from where the crop before in their row ended."""

    def __init__(self, model: SequenceModel, batch_size: int) -> None:
        self._model = model
        start = model.start(batch_size)
        self._memory = {name: tf.Variable(x, trainable=False) for name, x in start.items()}

    @property
    def variables(self) -> list["tf.Variable"]:
        """The memory after the last crops."""
        return list(self._memory.values())

    def masks(
        self, features: "tf.Tensor", continued: "tf.Tensor", training: bool = False
    ) -> tuple["tf.Tensor", dict[str, "tf.Tensor"], dict[str, "tf.Tensor"]]:
        """Masks, going on in the rows where float ``[batch]`` is 1, not 0.

        Returns:
            ``[batch, time, bands]``, and the memories before and after.
        """
        before = {
            name: tf.reshape(continued, [-1, *[1] * (x.shape.rank - 1)]) * x
            for name, x in self._memory.items()
        }
        mask, after = self._model.resume(features, before, training)
        for name, variable in self._memory.items():
            variable.assign(after[name])
        return mask, before, after


def _validated(
    model: SequenceModel,
    average: list["tf.Variable"],
    best: list["tf.Variable"],
    validate: Callable[[SequenceModel], dict[str, float]],
    progress: _Progress,
    settings: Settings,
    step: int,
) -> dict[str, float]:
    """Score the averaged weights, keep them if they are the best, put the live ones back."""
    live = [variable.numpy() for variable in model.trainable_weights]
    for variable, mean in zip(model.trainable_weights, average, strict=True):
        variable.assign(mean)
    scores = validate(model)
    if step >= settings.keep_best_from and scores["score"] > progress.best_score:
        progress.best_score = scores["score"]
        for kept, variable in zip(best, model.weights, strict=True):
            kept.assign(variable)
    for variable, value in zip(model.trainable_weights, live, strict=True):
        variable.assign(value)
    return scores


def _save(state: list["tf.Variable"], progress: _Progress, work_dir: Path) -> None:
    """Write one file that holds the tensors and the progress: a kill leaves the old or the new."""
    record = dataclasses.asdict(progress)
    if not np.isfinite(progress.best_score):
        record["best_score"] = None
    tensors = {str(k): np.asarray(variable.numpy(), order="C") for k, variable in enumerate(state)}
    write_atomically(
        work_dir / CHECKPOINT, safetensors.save(tensors, metadata={"progress": json.dumps(record)})
    )


def _resume(state: list["tf.Variable"], work_dir: Path) -> _Progress:
    path = work_dir / CHECKPOINT
    if not path.exists():
        return _Progress()
    with safe_open(path, framework="numpy") as file:
        for k, variable in enumerate(state):
            variable.assign(file.get_tensor(str(k)))
        record = json.loads(file.metadata()["progress"])
    if record["best_score"] is None:
        record["best_score"] = -np.inf
    return _Progress(**record)


def discard_checkpoint(work_dir: Path) -> None:
    """Remove what only a resume needs, once training is complete."""
    (work_dir / CHECKPOINT).unlink(missing_ok=True)
