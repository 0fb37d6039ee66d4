"""Steps of pretraining: crops, features, loss and optimizer in one compiled function."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import random

from pipeline.corpora.testset import Mixture
from pipeline.dsp import FrontEnd, istft
from pipeline.metrics.quality import si_sdr_db
from pipeline.networks.trained import Trained
from pipeline.pretraining.crops import Bank, CropMaker
from pipeline.pretraining.features import Analyser
from pipeline.pretraining.network import NetworkFunction, Values
from pipeline.pretraining.objective import enhancement_loss
from pipeline.training.recipe import CONTINUED_SHARE, GRADIENT_NORM_LIMIT, NORM_MOMENTUM

# Noisy signals in, enhanced ones out, float32 ``[batch, samples]``.
Teacher = Callable[[jax.Array], jax.Array]
_NOT_TRAINED = ("mask", "mean", "variance")


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        minutes: how long; the learning rate follows the clock, so that what a GPU does in the time
            is a whole training.
        batch_size: crops of a step.
        learning_rate: peak of its cosine.
        warmup: share of the time in which it rises to that.
        average_decay: of the mean of the weights, which is what training gives.
        spectral_weight: see `enhancement_loss`.
        imitation_share: share of the time, at its beginning, in which a teacher's output is the
            target instead of the clean signal.
        report_every_s: time between two validations.
        seed: of the crops.
    """

    minutes: float
    batch_size: int = 256
    learning_rate: float = 2e-3
    warmup: float = 0.02
    average_decay: float = 0.999
    spectral_weight: float = 0.5
    imitation_share: float = 0.5
    report_every_s: float = 60.0
    seed: int = 1


@dataclass(frozen=True)
class Material:
    """What is mixed: voices, noise, room responses float32 ``[count, samples]``."""

    speech: Bank
    noise: Bank
    rooms: jax.Array


class Validation:
    """SI-SDR improvement on fixed mixtures of one length."""

    def __init__(self, function: NetworkFunction, mixtures: list[Mixture], front_end: FrontEnd):
        self._clean = [mixture.clean for mixture in mixtures]
        noisy = np.stack([mixture.noisy for mixture in mixtures])
        self._samples, self._front_end = noisy.shape[1], front_end
        spectra, self._features = Analyser(front_end, self._samples).spectra(jnp.asarray(noisy))
        self._spectra = np.asarray(spectra, np.complex64)
        self._start = function.start(len(mixtures))
        self._mask = jax.jit(lambda arrays, x, memory: function(arrays, x, memory, False)[0])
        self._noisy_db = self._mean_db(noisy)

    def __call__(self, arrays: Values) -> float:
        """In dB, the mean."""
        mask = np.asarray(self._mask(arrays, self._features, self._start))
        estimates = istft(self._spectra * self._front_end.gains(mask), self._samples)
        return self._mean_db(estimates) - self._noisy_db

    def _mean_db(self, estimates: np.ndarray) -> float:
        pairs = zip(self._clean, estimates, strict=True)
        return float(np.mean([si_sdr_db(clean, estimate) for clean, estimate in pairs]))


def pretrain(
    start: Trained,
    material: Material,
    maker: CropMaker,
    settings: Settings,
    mixtures: list[Mixture],
    teacher: Teacher | None = None,
) -> Iterator[tuple[Trained, dict[str, float]]]:
    """Train a floating-point network, and give it away as it is every now and then.

    Args:
        start: what to start from, with the front end it will have.
        material: of the training part.
        maker: of crops.
        settings: see there.
        mixtures: to validate on, of one length.
        teacher: what to imitate at first, see `Settings.imitation_share`.

    Yields:
        The network so far, and its ``step``, ``crops``, ``seconds``, mean ``loss`` since the last
        one and ``score``, see `Validation`. The last one is what training gives.
    """
    function = NetworkFunction(start.graph)
    analyser = Analyser(start.front_end, maker.crop_samples)
    validate = Validation(function, mixtures, start.front_end)
    optimizer = optax.chain(optax.clip_by_global_norm(GRADIENT_NORM_LIMIT), optax.scale_by_adam())
    arrays = {name: jnp.asarray(array) for name, array in start.arrays.items()}
    fixed = {n: a for n, a in arrays.items() if n.rpartition("/")[2] in _NOT_TRAINED}
    weights = {n: a for n, a in arrays.items() if n not in fixed}

    def loss_of(weights: Values, fixed: Values, batch: Any, memory: Values) -> Any:
        mask, after, moments = function({**fixed, **weights}, batch.features, memory, True)
        return enhancement_loss(mask, batch, settings.spectral_weight), (after, moments)

    @partial(jax.jit, static_argnames="imitate")
    def step(
        carry: tuple[Any, ...], number: jax.Array, rate: jax.Array, imitate: bool
    ) -> tuple[Any, ...]:
        weights, fixed, average, state, memory, (speech, noise, rooms) = carry
        keys = random.split(random.fold_in(random.key(settings.seed), number))
        size = settings.batch_size
        noisy, target = maker(keys[0], speech, noise, rooms, size)
        if imitate:
            assert teacher is not None
            target = teacher(noisy)
        batch = analyser(noisy, target)
        continued = random.bernoulli(keys[1], CONTINUED_SHARE, (size,))
        memory = {n: x * continued.reshape(-1, *[1] * (x.ndim - 1)) for n, x in memory.items()}
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (memory, moments)), gradients = gradient(weights, fixed, batch, memory)
        updates, state = optimizer.update(gradients, state)
        weights = jax.tree.map(lambda w, u: w - rate * u, weights, updates)
        decay = jnp.minimum(settings.average_decay, (1 + number) / (10 + number))
        average = jax.tree.map(lambda a, w: a + (1 - decay) * (w - a), average, weights)
        following = {n: fixed[n] + (1 - NORM_MOMENTUM) * (m - fixed[n]) for n, m in moments.items()}
        fixed = {**fixed, **following}
        return (weights, fixed, average, state, memory), loss

    place = (material.speech, material.noise, material.rooms)
    carry = (weights, fixed, weights, optimizer.init(weights), function.start(settings.batch_size))
    phases = [False] if teacher is None else [False, True]
    for imitate in phases:
        carry, loss = step((*carry, place), jnp.asarray(0), jnp.asarray(0.0), imitate)
        jax.block_until_ready(loss)
    begun = reported = time.monotonic()
    losses: list[jax.Array] = []
    number, done = 1, 0.0
    while done < 1:
        rate = rate_at(done, settings)
        imitate = teacher is not None and done < settings.imitation_share
        carry, loss = step((*carry, place), jnp.asarray(number), jnp.asarray(rate), imitate)
        losses.append(loss)
        number += 1
        if len(losses) % 8 == 0:
            jax.block_until_ready(loss)
        now = time.monotonic()
        done = (now - begun) / (60 * settings.minutes)
        if now - reported >= settings.report_every_s or done >= 1:
            averaged = {**carry[1], **carry[2]}
            record = {
                "step": number,
                "crops": number * settings.batch_size,
                "seconds": round(now - begun, 1),
                "loss": float(jnp.mean(jnp.stack(losses))),
                "score": validate(averaged),
            }
            given = {name: np.asarray(averaged[name]) for name in start.arrays}
            yield Trained(start.graph, start.front_end, given), record
            losses, reported = [], now


def rate_at(done: float, settings: Settings) -> float:
    """Learning rate after a share of the time: it rises linearly, then falls along a cosine."""
    if done < settings.warmup:
        return settings.learning_rate * max(done, 1e-3) / settings.warmup
    falling = (done - settings.warmup) / (1 - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + float(np.cos(np.pi * falling)))
