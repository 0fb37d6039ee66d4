"""How good the mask is on held-out mixtures, while training runs."""

from collections.abc import Iterable

import numpy as np

from pipeline.corpora.testset import Mixture
from pipeline.dsp import FrontEnd, analyse, istft
from pipeline.keras import tf
from pipeline.metrics.quality import si_sdr_db
from pipeline.training.model import SequenceModel

# Mixtures at a time: attention keeps every score of every hop, 0.2 GB a mixture.
_BATCH = 8


class Validation:
    """SI-SDR improvement on fixed mixtures of any length, from spectra computed once.

    Shorter mixtures are padded with zeros at their end to one length, which a causal network
    cannot hear before it comes, and scored without it.
    """

    def __init__(self, mixtures: Iterable[Mixture], front_end: FrontEnd) -> None:
        """Analyse the mixtures once.

        Raises:
            ValueError: a clean side is silent; `prepare` lets none through.
        """
        held_out = list(mixtures)
        self._clean = [mixture.clean for mixture in held_out]
        self._samples = max(clean.size for clean in self._clean)
        noisy = np.zeros((len(held_out), self._samples), np.float32)
        for row, mixture in zip(noisy, held_out, strict=True):
            row[: mixture.noisy.size] = mixture.noisy
        self._spectra, features = analyse(noisy, front_end)
        self._features = features
        self._front_end = front_end
        self._noisy_db = self._mean_db(noisy)
        self._model: SequenceModel | None = None

    def __call__(self, model: SequenceModel) -> dict[str, float]:
        """Return ``score``, the mean SI-SDR improvement in dB; finite whatever the mask is."""
        if model is not self._model:
            # Operation by operation, a recurrence takes longer than a hundred steps of training.
            self._model, self._traced = model, tf.function(model, reduce_retracing=True)
        batches = np.split(self._features, range(_BATCH, len(self._features), _BATCH))
        masks = np.concatenate([self._traced(tf.constant(batch)).numpy() for batch in batches])
        gains = self._front_end.gains(masks)
        return {
            "score": self._mean_db(istft(self._spectra * gains, self._samples)) - self._noisy_db
        }

    def _mean_db(self, estimates: np.ndarray) -> float:
        return float(
            np.mean(
                [
                    si_sdr_db(clean, estimate[: clean.size])
                    for clean, estimate in zip(self._clean, estimates, strict=True)
                ]
            )
        )
