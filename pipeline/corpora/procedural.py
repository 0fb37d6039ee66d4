"""Synthesized noise: textures no recording of a small corpus covers, drawn without end.

Every generator maps (random generator, number of samples) to float [samples] at 16 kHz of any
level; `synthesize` picks one, shapes its envelope and normalizes it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

from pipeline.corpora.audio import RATE_HZ

_LEVEL_DBFS = -26.0
_FFT_SAMPLES = 512
_HOP_SAMPLES = 128
_NYQUIST_HZ = RATE_HZ / 2

Generator = Callable[[np.random.Generator, int], np.ndarray]


def synthesize(rng: np.random.Generator, samples: int) -> tuple[str, np.ndarray]:
    """One random noise: (name of its generator, float32 [samples] at -26 dBFS mean power)."""
    names = list(GENERATORS)
    name = names[rng.integers(len(names))]
    noise = GENERATORS[name](rng, samples)
    noise = noise - noise.mean()
    if rng.random() < 0.4:
        noise = noise * _slow_gain(rng, samples, depth_db=rng.uniform(3, 20))
    if rng.random() < 0.5:
        noise = noise + coloured(rng, samples) * np.std(noise) * 10 ** (rng.uniform(-40, -10) / 20)
    power = float(np.mean(noise**2)) + 1e-20
    return name, (noise * np.sqrt(10 ** (_LEVEL_DBFS / 10) / power)).astype(np.float32)


def coloured(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Stationary noise of random slope (1/f^-0.5 .. 1/f^2.5) and random smooth colour."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    slope = rng.uniform(-0.5, 2.5) / 2
    spectrum *= (np.maximum(frequency, 30.0) / 1000) ** -slope
    knots = np.linspace(0, _NYQUIST_HZ, rng.integers(4, 16))
    spectrum *= 10 ** (np.interp(frequency, knots, rng.normal(0, 6, knots.size)) / 20)
    return _unit(np.fft.irfft(spectrum, samples))


def texture(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Noise whose spectrum wanders in time: wind, surf, machines, crowds, crackle."""
    frames = samples // _HOP_SAMPLES + 5
    bins = _FFT_SAMPLES // 2 + 1
    frames_apart = int(np.exp(rng.uniform(np.log(2), np.log(400))))
    bins_apart = int(np.exp(rng.uniform(np.log(4), np.log(120))))
    grid = rng.normal(0, 1, (frames // frames_apart + 2, bins // bins_apart + 2))
    level_db = _stretch(_stretch(grid, frames, axis=0), bins, axis=1)
    level_db = level_db * rng.uniform(4, 20) - np.linspace(0, rng.uniform(-10, 40), bins)
    shaped = rng.standard_normal((frames, bins)) + 1j * rng.standard_normal((frames, bins))
    return _unit(_overlap_add(shaped * 10 ** (level_db / 20), samples))


def hum(rng: np.random.Generator, samples: int) -> np.ndarray:
    """One to four tonal stacks with drifting pitch: mains, fans, transformers, drills."""
    total = np.zeros(samples)
    for _ in range(rng.integers(1, 5)):
        f0_hz = np.exp(rng.uniform(np.log(25), np.log(1500)))
        drift = 1 + rng.uniform(0, 0.03) * _wander(rng, samples, rate_hz=rng.uniform(0.2, 4))
        total += _harmonics(rng, f0_hz * drift, tilt=rng.uniform(0.3, 2.0)) * rng.uniform(0.2, 1)
    return _unit(total)


def engine(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Firing pulses at a changing rate through body resonances, plus noise in their rhythm."""
    rate = rng.uniform(8, 120) * (1 + rng.uniform(0, 0.5) * _wander(rng, samples, rate_hz=0.4))
    phase = np.cumsum(rate) / RATE_HZ + 0.02 * np.cumsum(rng.standard_normal(samples)) / 100
    pulses = np.diff(np.floor(phase), prepend=0.0)
    pulses *= rng.uniform(0.6, 1.0, samples)
    rhythm = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    breath = coloured(rng, samples) * rhythm ** rng.uniform(0.5, 6)
    body = signal.fftconvolve(pulses, _modes(rng, int(rng.integers(3, 9)), decay_s=0.03))[:samples]
    return _unit(_unit(body) + breath * rng.uniform(0.05, 1.5))


def impacts(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Knocks, clicks, clatter, footsteps: decaying modes at random or regular times."""
    per_s = np.exp(rng.uniform(np.log(0.7), np.log(20)))
    count = max(1, int(per_s * samples / RATE_HZ))
    starts = rng.integers(0, samples, count)
    if rng.random() < 0.4:
        period = samples / count
        starts = (np.arange(count) * period + rng.normal(0, 0.04 * period, count)).astype(int)
    total = np.zeros(samples + RATE_HZ)
    kinds = [
        _modes(
            rng, int(rng.integers(2, 12)), decay_s=np.exp(rng.uniform(np.log(0.003), np.log(0.2)))
        )
        for _ in range(rng.integers(1, 6))
    ]
    for start in np.clip(starts, 0, samples - 1):
        sound = kinds[rng.integers(len(kinds))]
        total[start : start + sound.size] += sound * np.exp(rng.normal(0, 0.7))
    return _unit(total[:samples])


def rain(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Thousands of short drops per second over a hiss: rain, frying, gravel, applause."""
    per_s = np.exp(rng.uniform(np.log(50), np.log(5000)))
    drops = np.zeros(samples)
    count = int(per_s * samples / RATE_HZ)
    np.add.at(
        drops, rng.integers(0, samples, count), rng.lognormal(0, rng.uniform(0.5, 1.5), count)
    )
    drops *= rng.choice([-1.0, 1.0], samples)
    drop = _modes(rng, int(rng.integers(2, 8)), decay_s=rng.uniform(0.001, 0.02), low_hz=800)
    wet = signal.fftconvolve(drops, drop)[:samples]
    return _unit(_unit(wet) + coloured(rng, samples) * rng.uniform(0, 0.5))


def music(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Chords, melody and a beat in a random scale, timbre and tempo."""
    beat = int(RATE_HZ * rng.uniform(0.15, 0.6))
    scale = np.sort(rng.choice(12, 7, replace=False))
    base_hz = rng.uniform(60, 240)
    tilt = rng.uniform(0.5, 2.5)
    decay = rng.uniform(0.5, 6)
    total = np.zeros(samples + 8 * beat)
    for start in range(0, samples, beat):
        for _ in range(rng.integers(0, 4)):
            semitones = rng.choice(scale) + 12 * rng.integers(0, 3)
            length = beat * rng.integers(1, 5)
            time_s = np.arange(length) / RATE_HZ
            pitch_hz = np.full(length, base_hz * 2 ** (semitones / 12))
            pitch_hz *= 1 + 0.005 * np.sin(2 * np.pi * 5.5 * time_s)
            attack = np.minimum(1, time_s / 0.01)
            note = _harmonics(rng, pitch_hz, tilt=tilt) * attack * np.exp(-decay * time_s)
            total[start : start + length] += note * rng.uniform(0.3, 1)
        if rng.random() < 0.5:
            burst = rng.standard_normal(beat) * np.exp(-np.arange(beat) / (0.02 * RATE_HZ))
            total[start : start + beat] += burst * rng.uniform(0, 0.5)
    return _unit(total[:samples])


def siren(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Sweeping or two-tone alarms, beeps and chirps."""
    time_s = np.arange(samples) / RATE_HZ
    shape = rng.choice(["sine", "square", "saw"])
    cycles = 2 * np.pi * rng.uniform(0.1, 8) * time_s
    wave = {
        "sine": np.sin(cycles),
        "square": np.sign(np.sin(cycles)),
        "saw": signal.sawtooth(cycles),
    }[shape]
    centre_hz = np.exp(rng.uniform(np.log(300), np.log(3000)))
    pitch_hz = centre_hz * 2 ** (wave * rng.uniform(0.05, 0.8))
    sound = _harmonics(rng, pitch_hz, tilt=rng.uniform(0.5, 2))
    if rng.random() < 0.4:
        gate_hz = rng.uniform(0.5, 6)
        sound = sound * (np.sin(2 * np.pi * gate_hz * time_s) > rng.uniform(-0.7, 0.7))
    return _unit(sound + 1e-3 * rng.standard_normal(samples))


GENERATORS: dict[str, Generator] = {
    "coloured": coloured,
    "texture": texture,
    "hum": hum,
    "engine": engine,
    "impacts": impacts,
    "rain": rain,
    "music": music,
    "siren": siren,
}


def _unit(noise: np.ndarray) -> np.ndarray:
    return np.asarray(noise / np.sqrt(np.mean(noise**2) + 1e-20))


def _wander(rng: np.random.Generator, samples: int, *, rate_hz: float) -> np.ndarray:
    """Smooth random curve of about unit spread that turns `rate_hz` times a second."""
    knots = int(samples / RATE_HZ * rate_hz) + 3
    return np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), rng.normal(0, 1, knots))


def _slow_gain(rng: np.random.Generator, samples: int, *, depth_db: float) -> np.ndarray:
    return 10 ** (depth_db / 2 * _wander(rng, samples, rate_hz=rng.uniform(0.3, 8)) / 20)


def _harmonics(rng: np.random.Generator, pitch_hz: np.ndarray, *, tilt: float) -> np.ndarray:
    """Up to 24 partials of a pitch curve [samples], falling as 1/n^tilt with random deviations."""
    highest = int(min(24, 0.95 * _NYQUIST_HZ / max(float(pitch_hz.max()), 1.0)))
    n = np.arange(1, max(highest, 1) + 1)
    phase, deviation = rng.uniform((0, 0.1), (6.28, 1), (n.size, 2)).T
    # Partial n of a rotating pointer is its n-th power: one polynomial instead of 24 sines.
    coefficients = np.concatenate([[0], n**-tilt * deviation * np.exp(1j * phase)])
    turns = np.cumsum(pitch_hz) / RATE_HZ
    angle = (2 * np.pi * (turns - np.floor(turns))).astype(np.float32)
    pointer = np.cos(angle) + np.complex64(1j) * np.sin(angle)
    return np.polynomial.polynomial.polyval(pointer, coefficients.astype(np.complex64)).imag


def _modes(
    rng: np.random.Generator, count: int, *, decay_s: float, low_hz: float = 80.0
) -> np.ndarray:
    """Impulse response of a struck body: `count` decaying sines and a click of noise."""
    time_s = np.arange(int(min(6 * decay_s, 0.9) * RATE_HZ) + 16) / RATE_HZ
    total = rng.standard_normal(time_s.size) * np.exp(-time_s / 0.002) * rng.uniform(0, 1)
    for _ in range(count):
        mode_hz = np.exp(rng.uniform(np.log(low_hz), np.log(7500)))
        decay = np.exp(-time_s / (decay_s * rng.uniform(0.3, 1)))
        total += np.sin(2 * np.pi * mode_hz * time_s) * decay * rng.uniform(0.1, 1)
    return total


def _stretch(grid: np.ndarray, size: int, *, axis: int) -> np.ndarray:
    """Linear interpolation of a grid along one axis to `size` points."""
    position = np.linspace(0, grid.shape[axis] - 1.001, size)
    below = position.astype(int)
    shape = [1, 1]
    shape[axis] = size
    weight = (position - below).reshape(shape)
    low, high = np.take(grid, below, axis), np.take(grid, below + 1, axis)
    stretched: np.ndarray = low * (1 - weight) + high * weight
    return stretched


def _overlap_add(spectra: np.ndarray, samples: int) -> np.ndarray:
    frames = np.fft.irfft(spectra, _FFT_SAMPLES, axis=1) * np.hanning(_FFT_SAMPLES)
    total = np.zeros(len(frames) * _HOP_SAMPLES + _FFT_SAMPLES)
    for index, frame in enumerate(frames):
        total[index * _HOP_SAMPLES : index * _HOP_SAMPLES + _FFT_SAMPLES] += frame
    return total[_FFT_SAMPLES : _FFT_SAMPLES + samples]
