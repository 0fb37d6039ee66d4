"""`pipeline.training.loss` in JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.dsp.bands import band_matrix
from pipeline.dsp.frontend import POWER_COMPRESSION
from pipeline.pretraining.features import Analysis
from pipeline.training.recipe import ERROR_FLOOR


def enhancement_loss(mask: jax.Array, batch: Analysis, spectral_weight: float) -> jax.Array:
    """Mean over the batch of two error-to-signal ratios in dB, of spectrum and of loudness.

    Args:
        mask: ``[batch, T, bands]`` in [0, 1].
        batch: the mixtures the mask was computed from.
        spectral_weight: weight of the second term.
    """
    gains = mask @ band_matrix(mask.shape[-1]).T
    error = gains * (gains * batch.noisy_power - 2.0 * batch.cross) + batch.clean_power
    noisy = batch.noisy_power.sum((1, 2)) + 1e-6
    clean = batch.clean_power.sum((1, 2))
    floor = ERROR_FLOOR * noisy
    waveform = _decibels((error.sum((1, 2)) + floor) / (clean + floor))

    compressed = jnp.power(mask + 1e-4, POWER_COMPRESSION) * batch.noisy_bands
    band_error = jnp.square(compressed - batch.clean_bands).sum((1, 2))
    band_clean = jnp.square(batch.clean_bands).sum((1, 2))
    band_floor = ERROR_FLOOR * jnp.square(batch.noisy_bands).sum((1, 2)) + 1e-6
    spectral = _decibels((band_error + band_floor) / (band_clean + band_floor))
    return waveform.mean() + spectral_weight * spectral.mean()


def _decibels(ratio: jax.Array) -> jax.Array:
    return (10.0 / np.log(10.0)) * jnp.log(ratio)
