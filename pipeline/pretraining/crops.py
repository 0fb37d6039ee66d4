"""Noisy training crops made on the GPU, from a corpus that lies in its memory.

What `pipeline.corpora.mixing` does to a crop on a CPU, and more of it, for here it costs nothing:
every talker and noise at a speed of its own, noise backwards, babble of the talkers of a batch,
noise in rooms.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from pipeline.corpora.audio import ACTIVE_RANGE_DB, FRAME_S, RATE_HZ
from pipeline.corpora.mixing import (
    BAND_LIMIT_ORDER,
    EQ_KNOTS,
    HIGH_EDGES_HZ,
    LOW_EDGES_HZ,
    NOISE_FLOOR_POWER,
    NOISE_KIND_WEIGHTS,
    NOMINAL_DBFS,
    OFFSETS,
    PEAK,
    SPEECH_FLOOR_POWER,
    Augmentation,
    eq_basis,
)
from pipeline.corpora.rooms import EARLY_S
from pipeline.corpora.store import Store, StoredClip

SPEECH_SPEEDS = (0.85, 1.18)
NOISE_SPEEDS = (0.5, 2.0)
# Of noise: played backwards.
REVERSED_SHARE = 0.25
PLAIN_SPEED_SHARE = 0.25
BABBLE_SHARE = 0.12
NOISE_ROOM_SHARE = 0.3
# Neighbours of a batch that babble is made of.
_TALKERS = 6
_PAUSE_S = (0.05, 0.5)
_FULL_SCALE = 32768
_EARLY_SAMPLES = round(EARLY_S * RATE_HZ)


class Bank(NamedTuple):
    """Audio of several groups in one array, each group a stream that goes round.

    Attributes:
        audio: int16 ``[samples]``.
        start, length: int32 ``[groups]``.
        log_share: float32 ``[groups]``, how often each is drawn.
    """

    audio: jax.Array
    start: jax.Array
    length: jax.Array
    log_share: jax.Array

    @classmethod
    def of_voices(cls, store: Store, seed: int) -> "Bank":
        """A group a speaker, drawn as `Mixer` draws them; pauses between clips."""
        groups = _groups(store, "speaker")
        shares = [sum(c.length for c in clips) ** 0.5 * clips[0].weight for clips in groups]
        return cls._joined(store, groups, shares, _PAUSE_S, seed)

    @classmethod
    def of_noise(
        cls, store: Store, seed: int, weights: Mapping[str, float] = NOISE_KIND_WEIGHTS
    ) -> "Bank":
        """A group a kind of noise."""
        groups = _groups(store, "kind")
        shares = [weights.get(clips[0].kind, 1.0) for clips in groups]
        return cls._joined(store, groups, shares, (0.0, 0.0), seed)

    @classmethod
    def _joined(
        cls,
        store: Store,
        groups: list[list[StoredClip]],
        shares: list[float],
        pause_s: tuple[float, float],
        seed: int,
    ) -> "Bank":
        """All clips at nominal level, in random order."""
        rng = np.random.default_rng(seed)
        pieces: list[np.ndarray] = []
        lengths = []
        for clips in groups:
            length = 0
            for index in rng.permutation(len(clips)):
                clip = clips[index]
                gain = 10 ** ((NOMINAL_DBFS - clip.level_dbfs) / 20) * _FULL_SCALE
                audio = np.rint(store.read_clip(clip) * np.float32(gain))
                pause = np.zeros(int(rng.uniform(*pause_s) * RATE_HZ), np.int16)
                pieces += [np.clip(audio, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16), pause]
                length += clip.length + pause.size
            lengths.append(length)
        start = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        return cls(
            jnp.asarray(np.concatenate(pieces)),
            jnp.asarray(start, jnp.int32),
            jnp.asarray(lengths, jnp.int32),
            jnp.log(jnp.asarray(shares, jnp.float32)),
        )


def _groups(store: Store, label: str) -> list[list[StoredClip]]:
    found: dict[str, list[StoredClip]] = {}
    for clip in store.clips:
        found.setdefault(getattr(clip, label), []).append(clip)
    return list(found.values())


@dataclass(frozen=True)
class CropMaker:
    """Makes batches of crops.

    Attributes:
        crop_samples: length of a crop.
        snr_db: range of active-speech power over noise power.
        level_dbfs: range of the active level of the clean crop.
        augmentation: shares and deviations, see there.
    """

    crop_samples: int
    snr_db: tuple[float, float] = (-5.0, 15.0)
    level_dbfs: tuple[float, float] = (-46.0, -6.0)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __call__(
        self, key: jax.Array, speech: Bank, noise: Bank, rooms: jax.Array, batch: int
    ) -> tuple[jax.Array, jax.Array]:
        """``(noisy, clean)``, float32 ``[batch, crop_samples]`` each.

        Args:
            key: decides everything.
            speech, noise: what to mix.
            rooms: float32 ``[count, samples]``, the direct path at sample 0.
            batch: how many.
        """
        keys = iter(random.split(key, 24))
        dry = self._speech(next(keys), speech, batch)
        noises = self._noises(next(keys), noise, dry)
        wet, clean, noises = self._filtered(next(keys), dry, noises, rooms)

        speech_power = jnp.maximum(active_power(clean), SPEECH_FLOOR_POWER)
        noise_power = jnp.maximum(jnp.square(noises).mean(axis=-1), NOISE_FLOOR_POWER)
        low, high = self.snr_db
        snr = 10 ** (random.uniform(next(keys), (batch,), minval=low, maxval=high) / 10)
        noisy = wet + noises * jnp.sqrt(speech_power / noise_power / snr)[:, None]
        low, high = self.level_dbfs
        level = 10 ** (random.uniform(next(keys), (batch,), minval=low, maxval=high) / 10)
        peak = jnp.maximum(jnp.abs(noisy).max(axis=-1), jnp.abs(clean).max(axis=-1))
        gain = jnp.minimum(jnp.sqrt(level / speech_power), PEAK / jnp.maximum(peak, 1e-9))[:, None]
        return noisy * gain + self._offsets(next(keys), batch)[:, None], clean * gain

    def _speech(self, key: jax.Array, bank: Bank, batch: int) -> jax.Array:
        """Talkers, some of whom begin late or are followed by another."""
        keys = random.split(key, 6)
        first = draw(keys[0], bank, batch, self.crop_samples, SPEECH_SPEEDS)
        second = draw(keys[1], bank, batch, self.crop_samples, SPEECH_SPEEDS)
        joined = self._scenes(keys[2], first, second)
        late = random.bernoulli(keys[3], self.augmentation.late_start_share, (batch, 1))
        start = random.uniform(keys[4], (batch, 1), minval=0.1, maxval=0.5) * self.crop_samples
        return jnp.where(late & (jnp.arange(self.crop_samples) < start), 0.0, joined)

    def _scenes(self, key: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
        keys = random.split(key, 3)
        batch, settings = len(first), self.augmentation
        changes = random.bernoulli(keys[0], settings.scene_change_share, (batch, 1))
        at = random.uniform(keys[1], (batch, 1), minval=0.25, maxval=0.75) * self.crop_samples
        gain_db = random.uniform(keys[2], (batch, 1), minval=-1, maxval=1) * settings.scene_gain_db
        after = changes & (jnp.arange(self.crop_samples) >= at)
        return jnp.where(after, second * 10 ** (gain_db / 20), first)

    def _noises(self, key: jax.Array, bank: Bank, talkers: jax.Array) -> jax.Array:
        keys = random.split(key, 9)
        batch = len(talkers)
        one, two, three = (
            draw(k, bank, batch, self.crop_samples, NOISE_SPEEDS, REVERSED_SHARE) for k in keys[:3]
        )
        gains = random.bernoulli(keys[3], 0.7, (batch, _TALKERS)) * random.uniform(
            keys[4], (batch, _TALKERS), minval=0.3
        )
        others = sum(jnp.roll(talkers, k + 1, axis=0) * gains[:, k, None] for k in range(_TALKERS))
        babble = random.bernoulli(keys[5], BABBLE_SHARE, (batch, 1))
        joined = self._scenes(keys[6], jnp.where(babble, others, one), two)
        second = random.bernoulli(keys[7], self.augmentation.second_noise_share, (batch, 1))
        gain_db = -random.uniform(keys[8], (batch, 1), minval=0, maxval=15)
        return joined + jnp.where(second, three * 10 ** (gain_db / 20), 0.0)

    def _filtered(
        self, key: jax.Array, dry: jax.Array, noise: jax.Array, rooms: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Equalizers, channels and rooms: speech as heard, clean target, noise."""
        keys = random.split(key, 10)
        batch, samples = dry.shape
        settings = self.augmentation
        curve = partial(_curves, batch=batch)
        microphone = curve(keys[0], settings.microphone_eq_db)
        speech_eq = microphone + curve(keys[1], settings.speech_eq_db)
        noise_eq = microphone + curve(keys[2], settings.noise_eq_db)
        basis = eq_basis(samples)
        channel = self._channels(keys[3], batch)
        limited = random.bernoulli(keys[4], settings.band_limit_share, (batch, 1))
        noise_too = limited & random.bernoulli(keys[5], 0.5, (batch, 1))
        speech_gains = jnp.exp(speech_eq @ basis) * jnp.where(limited, channel, 1.0)
        noise_gains = jnp.exp(noise_eq @ basis) * jnp.where(noise_too, channel, 1.0)

        rooms = rooms[:, :samples]
        chosen = random.randint(keys[6], (2, batch), 0, len(rooms))
        in_room = random.bernoulli(keys[7], settings.room_share, (batch, 1))
        noise_in_room = random.bernoulli(keys[8], NOISE_ROOM_SHARE, (batch, 1))
        whole, other = rooms[chosen[0]], rooms[chosen[1]]
        early = jnp.where(jnp.arange(rooms.shape[1]) < _EARLY_SAMPLES, whole, 0.0)
        spectra = jnp.fft.rfft(dry) * speech_gains
        heard = spectra * jnp.where(in_room, jnp.fft.rfft(whole, samples), 1.0)
        target = spectra * jnp.where(in_room, jnp.fft.rfft(early, samples), 1.0)
        noises = jnp.fft.rfft(noise) * noise_gains
        noises = noises * jnp.where(noise_in_room, jnp.fft.rfft(other, samples), 1.0)
        return tuple(jnp.fft.irfft(x, samples) for x in (heard, target, noises))  # type: ignore[return-value]

    def _channels(self, key: jax.Array, batch: int) -> jax.Array:
        """Amplitude gains ``[batch, bins]`` of random band-pass channels (Butterworth)."""
        keys = random.split(key)
        low, high = (
            _log_uniform(k, edges, (batch, 1))
            for k, edges in zip(keys, (LOW_EDGES_HZ, HIGH_EDGES_HZ), strict=True)
        )
        frequency = jnp.fft.rfftfreq(self.crop_samples, 1 / RATE_HZ)
        steepness = 2 * BAND_LIMIT_ORDER
        ratio = (low / jnp.maximum(frequency, low / 8)) ** steepness
        return 1 / jnp.sqrt(1 + ratio + (frequency / high) ** steepness)

    def _offsets(self, key: jax.Array, batch: int) -> jax.Array:
        keys = random.split(key, 3)
        signs = random.rademacher(keys[0], (batch,))
        there = random.bernoulli(keys[1], self.augmentation.offset_share, (batch,))
        return jnp.where(there, signs * _log_uniform(keys[2], OFFSETS, (batch,)), 0.0)


def draw(
    key: jax.Array,
    bank: Bank,
    batch: int,
    samples: int,
    speeds: tuple[float, float],
    reversed_share: float = 0.0,
) -> jax.Array:
    """Pieces of a bank's streams, each at one speed, float32 ``[batch, samples]``.

    Between samples a cubic goes through four neighbours (Catmull & Rom, 1974).
    """
    keys = random.split(key, 5)
    group = random.categorical(keys[0], bank.log_share, shape=(batch,))
    start, length = bank.start[group][:, None], bank.length[group][:, None]
    first = jnp.floor(random.uniform(keys[1], (batch, 1)) * length).astype(jnp.int32)
    speed = _log_uniform(keys[2], speeds, (batch, 1))
    plain = random.bernoulli(keys[3], PLAIN_SPEED_SHARE, (batch, 1))
    backwards = random.bernoulli(keys[4], reversed_share, (batch, 1))
    step = jnp.where(plain, 1.0, speed) * jnp.where(backwards, -1.0, 1.0)
    position = step * jnp.arange(samples)
    whole = jnp.floor(position)
    t = position - whole
    whole = first + whole.astype(jnp.int32)
    a, b, c, d = (
        bank.audio[start + (whole + k) % length].astype(jnp.float32) / _FULL_SCALE
        for k in range(-1, 3)
    )
    slope, turn = c - a, 2 * a - 5 * b + 4 * c - d
    return b + 0.5 * t * (slope + t * (turn + t * (3 * (b - c) + d - a)))


def active_power(signals: jax.Array) -> jax.Array:
    """`pipeline.corpora.audio.active_power` of ``[batch, samples]``."""
    frame = round(FRAME_S * RATE_HZ)
    whole = signals.shape[-1] // frame * frame
    powers = jnp.square(signals[:, :whole].reshape(len(signals), -1, frame)).mean(axis=-1)
    threshold = jnp.quantile(powers, 0.95, axis=-1, keepdims=True) * 10 ** (-ACTIVE_RANGE_DB / 10)
    active = (powers >= threshold) & (powers > 0)
    return jnp.where(active, powers, 0).sum(axis=-1) / jnp.maximum(active.sum(axis=-1), 1)


def _curves(key: jax.Array, deviation_db: float, batch: int) -> jax.Array:
    return random.normal(key, (batch, EQ_KNOTS)) * (deviation_db * np.log(10) / 20)


def _log_uniform(key: jax.Array, bounds: tuple[float, float], shape: tuple[int, ...]) -> jax.Array:
    low, high = bounds
    return low * (high / low) ** random.uniform(key, shape)
