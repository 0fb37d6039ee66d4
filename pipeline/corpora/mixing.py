"""Noisy training crops on the fly: a pure function of the seed and the step.

Everything expensive (speed copies, babble, synthesis, rooms) lies rendered in the stores; a batch
costs a few FFTs an example, in code that releases the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from pipeline.corpora.audio import RATE_HZ, active_power
from pipeline.corpora.rooms import early_part
from pipeline.corpora.store import Store, StoredClip

NOMINAL_DBFS = -26.0
# A crop further below its clip's level than this is a pause: it is not blown up to speech level.
SPEECH_FLOOR_POWER = 10 ** ((NOMINAL_DBFS - 20) / 10)
NOISE_FLOOR_POWER = 10 ** ((NOMINAL_DBFS - 50) / 10)
PEAK = 0.98
EQ_KNOTS = 10
_DRAWS = 10
_MIN_PIECE_SAMPLES = round(0.25 * RATE_HZ)
# Band limits of narrow channels: Butterworth slopes of this order between random edges.
BAND_LIMIT_ORDER = 8
LOW_EDGES_HZ = (100.0, 400.0)
HIGH_EDGES_HZ = (2800.0, 6500.0)
OFFSETS = (1e-3, 0.3)

NOISE_KIND_WEIGHTS: Mapping[str, float] = {
    "ambience": 3.0,
    "impulsive": 1.5,
    "music": 1.5,
    "babble": 2.0,
    "procedural": 4.0,
    "keys": 0.3,
    "machines": 2.0,
    "tools": 0.7,
    "animals": 0.3,
}


@dataclass(frozen=True)
class Augmentation:
    """How crops vary. The defaults suit a small corpus, `NONE` leaves recordings as they are.

    Attributes:
        room_share: share of crops heard in a room. The noisy side has the whole response, the
            clean target its direct path and first 50 ms.
        second_noise_share: share of crops with two noises at once, the second 0-15 dB lower.
        speech_eq_db, noise_eq_db, microphone_eq_db: standard deviation of random smooth
            equalizer curves on speech, on noise, and on both alike.
        late_start_share: share of crops where speech starts after 10-50 % of the crop.
        clip_gain_db: clips joined into one crop differ in level by up to this much, either way.
        pause_s: pause between clips joined into one crop.
        scene_change_share: share of crops in whose middle another noise takes over, and, drawn
            apart, of crops where another talker does.
        scene_gain_db: what takes over differs in level by up to this much, either way.
        band_limit_share: share of crops whose speech comes through a narrow channel (telephones,
            loudspeakers); in half of them the noise does too.
        offset_share: share of crops with a constant offset on the noisy side.
    """

    room_share: float = 0.35
    second_noise_share: float = 0.3
    speech_eq_db: float = 1.5
    noise_eq_db: float = 4.0
    microphone_eq_db: float = 2.0
    late_start_share: float = 0.15
    clip_gain_db: float = 3.0
    pause_s: tuple[float, float] = (0.05, 0.5)
    scene_change_share: float = 0.25
    scene_gain_db: float = 10.0
    band_limit_share: float = 0.15
    offset_share: float = 0.1


NONE = Augmentation(
    room_share=0.0,
    second_noise_share=0.0,
    speech_eq_db=0.0,
    noise_eq_db=0.0,
    microphone_eq_db=0.0,
    late_start_share=0.0,
    clip_gain_db=0.0,
    scene_change_share=0.0,
    band_limit_share=0.0,
    offset_share=0.0,
)


class _Pool:
    """Clips one crop may be joined from, drawn in proportion to their (capped) length."""

    def __init__(self, clips: list[StoredClip]) -> None:
        self.clips = clips
        self.length = sum(clip.length for clip in clips)
        capped = np.minimum([clip.length for clip in clips], 10 * RATE_HZ)
        self._shares = cumulative_shares(capped)

    def draw(self, rng: np.random.Generator) -> StoredClip:
        return self.clips[draw_index(self._shares, rng)]


class Mixer:
    """Mixes crops of speech with noise at random SNR and level."""

    def __init__(
        self,
        speech: Store,
        noise: Store,
        *,
        crop_samples: int,
        seed: int,
        snr_db: tuple[float, float] = (-5.0, 15.0),
        level_dbfs: tuple[float, float] = (-46.0, -6.0),
        rooms: np.ndarray | None = None,
        augmentation: Augmentation | None = None,
        kind_weights: Mapping[str, float] = NOISE_KIND_WEIGHTS,
    ) -> None:
        """Set up mixing.

        Args:
            speech: voices are drawn in proportion to the square root of their length, so a large
                one does not drown the small ones, times their weight.
            noise: first a kind is drawn by `kind_weights` (1 where not listed), then a clip.
            crop_samples: T, samples of every crop.
            seed: together with the step it decides everything.
            snr_db: uniform range of active-speech power over noise power in the crop.
            level_dbfs: uniform range of the active level of the clean crop.
            rooms: float32 [count, samples] with the direct path at sample 0; None for no rooms.
            augmentation: None for the defaults.
            kind_weights: how often each kind of noise is drawn.
        """
        self._speech, self._noise = speech, noise
        self._crop_samples = crop_samples
        self._seed = seed
        self._snr_db, self._level_dbfs = snr_db, level_dbfs
        self._augmentation = augmentation or Augmentation()
        self._voices = _pools(speech, "speaker")
        self._voice_shares = cumulative_shares(
            np.array([pool.length**0.5 * pool.clips[0].weight for pool in self._voices])
        )
        self._kinds = _pools(noise, "kind")
        self._kind_shares = cumulative_shares(
            np.array([kind_weights.get(pool.clips[0].kind, 1.0) for pool in self._kinds])
        )
        self._eq_basis = eq_basis(crop_samples)
        self._frequency_hz = fft.rfftfreq(crop_samples, 1 / RATE_HZ).astype(np.float32)
        self._rooms = self._early_rooms = None
        if rooms is not None and self._augmentation.room_share > 0:
            fitting = rooms[:, :crop_samples]
            self._rooms = fft.rfft(fitting, crop_samples).astype(np.complex64)
            self._early_rooms = fft.rfft(early_part(fitting), crop_samples).astype(np.complex64)

    def batch(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """(noisy, clean), both float32 [batch_size, crop_samples], peaks at most 0.98 over a
        constant offset that some noisy crops have.

        Depends on (seed, step, batch_size) alone, so a run that was killed resumes identically.
        Filters are applied circularly over the crop: what a room rings on past the end sounds at
        the beginning, as if the talker had been speaking before.
        """
        rng = np.random.default_rng([self._seed, step])
        dry = np.zeros((batch_size, self._crop_samples), np.float32)
        noise = np.zeros_like(dry)
        for row in range(batch_size):
            self._add_speech(dry[row], rng)
            self._add_noise(noise[row], rng)
        wet, clean, noise = self._filtered(dry, noise, rng)

        speech_power = np.maximum(active_power(clean), SPEECH_FLOOR_POWER)
        noise_power = np.einsum("bt,bt->b", noise, noise) / self._crop_samples
        noise_power = np.maximum(noise_power, NOISE_FLOOR_POWER)
        snr = 10 ** (rng.uniform(*self._snr_db, batch_size) / 10)
        level = 10 ** (rng.uniform(*self._level_dbfs, batch_size) / 10)
        noise *= np.sqrt(speech_power / noise_power / snr).astype(np.float32)[:, None]
        noisy = wet
        noisy += noise
        gain = np.sqrt(level / speech_power)
        peak = np.maximum(_peaks(noisy), _peaks(clean))
        gain = np.minimum(gain, PEAK / np.maximum(peak, 1e-9)).astype(np.float32)[:, None]
        noisy *= gain
        noisy += self._offsets(rng, batch_size)[:, None]
        return noisy, clean * gain

    def _add_speech(self, row: np.ndarray, rng: np.random.Generator) -> None:
        start = 0
        if rng.random() < self._augmentation.late_start_share:
            start = int(rng.uniform(0.1, 0.5) * row.size)
        self._in_scenes(row[start:], rng, self._add_talker)

    def _add_talker(self, row: np.ndarray, rng: np.random.Generator) -> None:
        settings = self._augmentation
        pool = self._voices[draw_index(self._voice_shares, rng)]
        _join(self._speech, pool, row, rng, settings.clip_gain_db, settings.pause_s)

    def _in_scenes(
        self,
        row: np.ndarray,
        rng: np.random.Generator,
        add: Callable[[np.ndarray, np.random.Generator], None],
    ) -> None:
        """Fill a row with one sound, or with one and then another."""
        if rng.random() >= self._augmentation.scene_change_share:
            add(row, rng)
            return
        change = int(rng.uniform(0.25, 0.75) * row.size)
        add(row[:change], rng)
        add(row[change:], rng)
        gain_db = rng.uniform(-1, 1) * self._augmentation.scene_gain_db
        row[change:] *= np.float32(10 ** (gain_db / 20))

    def _add_noise(self, row: np.ndarray, rng: np.random.Generator) -> None:
        self._in_scenes(row, rng, self._add_one_noise)
        if rng.random() < self._augmentation.second_noise_share:
            second = np.zeros_like(row)
            self._add_one_noise(second, rng)
            row += second * np.float32(10 ** (-rng.uniform(0, 15) / 20))

    def _add_one_noise(self, row: np.ndarray, rng: np.random.Generator) -> None:
        pool = self._kinds[draw_index(self._kind_shares, rng)]
        _join(self._noise, pool, row, rng, 0.0, (0.0, 0.0))

    def _offsets(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """A constant for each crop, float32 [size], mostly 0."""
        offsets = _log_uniform(rng, OFFSETS, (size,))
        offsets[rng.random(size) < 0.5] *= -1
        offsets[rng.random(size) >= self._augmentation.offset_share] = 0
        return offsets

    def _filtered(
        self, dry: np.ndarray, noise: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Equalizers and rooms: (speech as heard, clean target, noise), each [batch, samples]."""
        settings = self._augmentation
        size, samples = dry.shape
        microphone = self._curves(rng, size, settings.microphone_eq_db)
        speech_eq = microphone + self._curves(rng, size, settings.speech_eq_db)
        noise_eq = microphone + self._curves(rng, size, settings.noise_eq_db)
        in_room = np.flatnonzero(rng.random(size) < settings.room_share)
        limited = np.flatnonzero(rng.random(size) < settings.band_limit_share)
        plain = not (speech_eq.any() or noise_eq.any() or limited.size)
        if plain and (self._rooms is None or in_room.size == 0):
            return dry.copy(), dry, noise
        noise_gains, speech_gains = self._gains(noise_eq), self._gains(speech_eq)
        channels = self._channels(rng, limited.size)
        speech_gains[limited] *= channels
        noise_too = rng.random(limited.size) < 0.5
        noise_gains[limited[noise_too]] *= channels[noise_too]
        noise = fft.irfft(fft.rfft(noise) * noise_gains, samples, overwrite_x=True)
        spectra = fft.rfft(dry) * speech_gains
        if self._rooms is None or self._early_rooms is None or in_room.size == 0:
            clean = fft.irfft(spectra, samples, overwrite_x=True)
            return clean.copy(), clean, noise
        chosen = rng.integers(len(self._rooms), size=in_room.size)
        heard = fft.irfft(spectra[in_room] * self._rooms[chosen], samples, overwrite_x=True)
        spectra[in_room] *= self._early_rooms[chosen]
        clean = fft.irfft(spectra, samples, overwrite_x=True)
        wet = clean.copy()
        wet[in_room] = heard
        return wet, clean, noise

    def _curves(self, rng: np.random.Generator, size: int, deviation_db: float) -> np.ndarray:
        """Equalizer knots in natural-log amplitude, float [size, knots]."""
        return rng.normal(0, deviation_db * np.log(10) / 20, (size, EQ_KNOTS))

    def _channels(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Amplitude gains float32 [size, bins] of random band-pass channels (Butterworth)."""
        low = _log_uniform(rng, LOW_EDGES_HZ, (size, 1))
        high = _log_uniform(rng, HIGH_EDGES_HZ, (size, 1))
        steepness = 2 * BAND_LIMIT_ORDER
        # The lowest bins are as good as silent: their powers would overflow.
        ratio = (low / np.maximum(self._frequency_hz, low / 8)) ** steepness
        ratio += (self._frequency_hz / high) ** steepness
        gains: np.ndarray = 1 / np.sqrt(1 + ratio)
        return gains

    def _gains(self, knots: np.ndarray) -> np.ndarray:
        """Amplitude gains float32 [size, bins] of equalizer knots [size, knots]."""
        log_gains: np.ndarray = knots.astype(np.float32) @ self._eq_basis
        np.exp(log_gains, out=log_gains)
        return log_gains


def _pools(store: Store, label: str) -> list[_Pool]:
    """Clips of a store grouped by one of their labels, in the order of first appearance."""
    groups: dict[str, list[StoredClip]] = {}
    for clip in store.clips:
        groups.setdefault(getattr(clip, label), []).append(clip)
    return [_Pool(clips) for clips in groups.values()]


def cumulative_shares(weights: np.ndarray) -> np.ndarray:
    """Running sum of weights [n], ending in one, for `draw_index`."""
    shares: np.ndarray = np.cumsum(weights) / np.sum(weights)
    return shares


def draw_index(cumulative: np.ndarray, rng: np.random.Generator) -> int:
    """A random index, each as likely as its weight."""
    return int(np.searchsorted(cumulative[:-1], rng.random(), side="right"))


def _join(
    store: Store,
    pool: _Pool,
    row: np.ndarray,
    rng: np.random.Generator,
    gain_db: float,
    pause_s: tuple[float, float],
) -> None:
    """Fill float32 [samples] with random clips of a pool at nominal level.

    A piece without any sound is drawn again.
    """
    position = 0
    while row.size - position >= _MIN_PIECE_SAMPLES or position == 0:
        for _ in range(_DRAWS):
            clip = pool.draw(rng)
            skip = int(rng.random() * max(clip.length - (row.size - position), 0))
            length = min(clip.length - skip, row.size - position)
            level_db = NOMINAL_DBFS - clip.level_dbfs + rng.uniform(-gain_db, gain_db)
            piece = store.read(clip.start + skip, length)
            if piece.any():
                break
        piece *= np.float32(10 ** (level_db / 20))
        row[position : position + length] = piece
        position += length + int(rng.uniform(*pause_s) * RATE_HZ)


def _log_uniform(
    rng: np.random.Generator, bounds: tuple[float, float], shape: tuple[int, ...]
) -> np.ndarray:
    """float32 numbers whose logarithms are uniform between those of the bounds."""
    low, high = bounds
    return (low * (high / low) ** rng.random(shape)).astype(np.float32)


def _peaks(signals: np.ndarray) -> np.ndarray:
    """Largest magnitude of each row of [batch, samples]."""
    peaks: np.ndarray = np.maximum(signals.max(axis=1), -signals.min(axis=1))
    return peaks


def eq_basis(samples: int) -> np.ndarray:
    """Raised-cosine bumps on a mel-like axis, float32 [knots, bins]; they add up to one."""
    frequency = fft.rfftfreq(samples, 1 / RATE_HZ)
    position = np.log1p(frequency / 300) / np.log1p(RATE_HZ / 2 / 300) * (EQ_KNOTS - 1)
    distance = np.abs(position - np.arange(EQ_KNOTS)[:, None])
    basis: np.ndarray = np.where(distance < 1, 0.5 + 0.5 * np.cos(np.pi * distance), 0)
    return basis.astype(np.float32)


def snr_db(clean: np.ndarray, noise: np.ndarray) -> Sequence[float]:
    """Active-speech power over noise power of [batch, samples] pairs, in dB."""
    ratio = active_power(clean) / np.mean(noise**2, axis=-1)
    levels: list[float] = (10 * np.log10(ratio)).tolist()
    return levels
