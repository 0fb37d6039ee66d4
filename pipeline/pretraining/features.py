"""Spectra and features of crops in JAX: `pipeline.dsp` in floating point, for whole signals."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.dsp.bands import band_matrix
from pipeline.dsp.conditioning import (
    FULL_SCALE,
    LEVEL_FRACTION_BITS,
    LEVEL_SHIFT,
    LOWEST_LEVEL,
    NOMINAL_LEVEL,
    OFFSET_SHIFT,
)
from pipeline.dsp.frontend import CLIP_DEVIATIONS, POWER_COMPRESSION, FrontEnd
from pipeline.dsp.stft import FRAME_SAMPLES, HOP_SAMPLES, frames_in, window


class Analysis(NamedTuple):
    """What the loss needs of a batch; see `pipeline.training.batches.Batch` for the shapes."""

    features: jax.Array
    noisy_power: jax.Array
    clean_power: jax.Array
    cross: jax.Array
    noisy_bands: jax.Array
    clean_bands: jax.Array


class Analyser:
    """Analyses signals of one length, each a stream from its beginning.

    Args:
        front_end: standardization, and whether offset and level are followed.
        samples: length of the signals.
    """

    def __init__(self, front_end: FrontEnd, samples: int) -> None:
        self._front_end, self._samples = front_end, samples
        self._frames = frames_in(samples)
        matrix = band_matrix(front_end.bands)
        self._average = jnp.asarray(matrix / matrix.sum(axis=0))
        self._offset_weights = jnp.asarray(_weights(self._frames, OFFSET_SHIFT))
        self._level_weights = jnp.asarray(_weights(self._frames, LEVEL_SHIFT))

    def spectra(self, noisy: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Spectra ``[batch, T, 257]`` and features ``[batch, T, bands]``; see `dsp.analyse`."""
        hops, gains = self._hops(noisy), None
        if self._front_end.conditioned:
            offset = jnp.round(hops.mean(axis=-1) @ self._offset_weights.T * FULL_SCALE)
            hops = hops - (offset / FULL_SCALE)[..., None]
            energy = jnp.square(hops * FULL_SCALE).sum(axis=-1) * 2.0**LEVEL_FRACTION_BITS
            level = jnp.maximum(energy @ self._level_weights.T, float(LOWEST_LEVEL))
            gains = jnp.sqrt(float(NOMINAL_LEVEL) / level)
        x = self._transform(hops)
        compressed = self._compressed(jnp.abs(x), gains)
        scale = CLIP_DEVIATIONS * self._front_end.deviation
        return x, jnp.clip((compressed - self._front_end.mean) / scale, -1.0, 1.0)

    def __call__(self, noisy: jax.Array, clean: jax.Array) -> Analysis:
        """Analyse ``[batch, samples]`` mixtures."""
        x, features = self.spectra(noisy)
        s = self._transform(self._hops(clean))
        noisy_power, clean_power = (jnp.square(y.real) + jnp.square(y.imag) for y in (x, s))
        return Analysis(
            features=features,
            noisy_power=noisy_power,
            clean_power=clean_power,
            cross=x.real * s.real + x.imag * s.imag,
            noisy_bands=self._compressed(jnp.sqrt(noisy_power)),
            clean_bands=self._compressed(jnp.sqrt(clean_power)),
        )

    def _hops(self, signal: jax.Array) -> jax.Array:
        """``[batch, samples]`` -> ``[batch, T, 256]`` with zeros behind."""
        missing = self._frames * HOP_SAMPLES - self._samples
        padded = jnp.pad(signal, ((0, 0), (0, missing)))
        return padded.reshape(len(signal), self._frames, HOP_SAMPLES)

    def _transform(self, hops: jax.Array) -> jax.Array:
        """Spectra of frames of two hops, the first with a hop of zeros before it."""
        before = jnp.pad(hops[:, :-1], ((0, 0), (1, 0), (0, 0)))
        frames = jnp.concatenate([before, hops], axis=-1) * window()
        return jnp.fft.rfft(frames, FRAME_SAMPLES)

    def _compressed(self, magnitude: jax.Array, gains: jax.Array | None = None) -> jax.Array:
        averaged = magnitude @ self._average
        if gains is not None:
            averaged = averaged * gains[..., None]
        return jnp.power(averaged, POWER_COMPRESSION)


def _weights(hops: int, shift: int) -> np.ndarray:
    """What every hop weighs in the running mean after every hop, float32 ``[hops, hops]``.

    The recurrence of `pipeline.dsp.conditioning`, without its rounding: it starts at zero, and the
    newest hop weighs ``2 ** -min(age, shift)``, the age that of the power of two above the hops
    seen.
    """
    weights = np.zeros((hops, hops))
    for hop in range(hops):
        newest = 2.0 ** -min(min(hop, 1 << shift).bit_length(), shift)
        if hop:
            weights[hop] = weights[hop - 1] * (1 - newest)
        weights[hop, hop] = newest
    return weights.astype(np.float32)
