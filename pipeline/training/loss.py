"""What the mask network is trained for."""

import numpy as np

from pipeline.dsp.bands import band_matrix
from pipeline.dsp.frontend import POWER_COMPRESSION
from pipeline.keras import tf
from pipeline.training.batches import Batch
from pipeline.training.recipe import ERROR_FLOOR


def _decibels(ratio: "tf.Tensor") -> "tf.Tensor":
    return (10.0 / np.log(10.0)) * tf.math.log(ratio)


def enhancement_loss(mask: "tf.Tensor", batch: Batch, spectral_weight: float) -> "tf.Tensor":
    """Mean over the batch of two error-to-signal ratios in dB.

    The first is the error of the complex spectrum, which by Parseval's theorem is (up to the
    overlap of frames) minus the signal-to-noise ratio of the waveform. The second compares
    magnitudes after power compression, closer to loudness; it is what moves PESQ.

    Args:
        mask: ``[batch, time, bands]`` in [0, 1].
        batch: the mixtures the mask was computed from.
        spectral_weight: weight of the second term.
    """
    gains = tf.tensordot(mask, tf.constant(band_matrix(mask.shape[-1]).T), 1)
    error = gains * (gains * batch.noisy_power - 2.0 * batch.cross) + batch.clean_power
    noisy = tf.reduce_sum(batch.noisy_power, axis=[1, 2]) + 1e-6
    clean = tf.reduce_sum(batch.clean_power, axis=[1, 2])
    floor = ERROR_FLOOR * noisy
    waveform = _decibels((tf.reduce_sum(error, axis=[1, 2]) + floor) / (clean + floor))

    compressed = tf.pow(mask + 1e-4, POWER_COMPRESSION) * batch.noisy_bands
    band_error = tf.reduce_sum(tf.square(compressed - batch.clean_bands), axis=[1, 2])
    band_clean = tf.reduce_sum(tf.square(batch.clean_bands), axis=[1, 2])
    band_floor = ERROR_FLOOR * tf.reduce_sum(tf.square(batch.noisy_bands), axis=[1, 2]) + 1e-6
    spectral = _decibels((band_error + band_floor) / (band_clean + band_floor))
    return tf.reduce_mean(waveform) + spectral_weight * tf.reduce_mean(spectral)


def imitation_loss(mask: "tf.Tensor", target: "tf.Tensor", batch: Batch) -> "tf.Tensor":
    """Mean over the batch of the error-to-signal ratio in dB against a teacher's estimate.

    Compressed band magnitudes as in `enhancement_loss`, with the teacher's output in the place of
    clean speech: it is less noisy a target than speech itself (Hinton et al., 2015).

    Args:
        mask, target: the student's and the teacher's mask, ``[batch, time, bands]``.
        batch: the mixtures both were computed from.
    """
    student = tf.pow(mask + 1e-4, POWER_COMPRESSION) * batch.noisy_bands
    taught = tf.pow(target + 1e-4, POWER_COMPRESSION) * batch.noisy_bands
    error = tf.reduce_sum(tf.square(student - taught), axis=[1, 2])
    signal = tf.reduce_sum(tf.square(taught), axis=[1, 2])
    floor = ERROR_FLOOR * tf.reduce_sum(tf.square(batch.noisy_bands), axis=[1, 2]) + 1e-6
    return tf.reduce_mean(_decibels((error + floor) / (signal + floor)))
