"""Mixtures -> tensors for one optimizer step, made ahead of time in a second thread."""

import dataclasses
import queue
import threading
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.dsp.analysis import analyse
from pipeline.dsp.frontend import FrontEnd, compressed_bands
from pipeline.dsp.stft import stft

PREFETCH = 3

Array = NDArray[np.float32]


class MixtureSource(Protocol):
    """A pure function from a step number to a batch of mixtures."""

    def batch(self, step: int, batch_size: int) -> tuple[Array, Array]:
        """Return ``(noisy, clean)``, float32 ``[batch, samples]`` each."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """What the loss needs, float32; T frames, 257 bins, `bands` bands.

    Attributes:
        features: network input ``[batch, T, bands]``.
        noisy_power, clean_power: ``|X|^2`` and ``|S|^2``, ``[batch, T, 257]``.
        cross: ``Re(X conj(S))``, ``[batch, T, 257]``.
        noisy_bands, clean_bands: compressed band magnitudes ``[batch, T, bands]``.
    """

    features: Array
    noisy_power: Array
    clean_power: Array
    cross: Array
    noisy_bands: Array
    clean_bands: Array

    @classmethod
    def from_audio(cls, noisy: Array, clean: Array, front_end: FrontEnd) -> "Batch":
        """Analyse ``[batch, samples]`` mixtures."""
        x, features = analyse(noisy, front_end)
        s = stft(clean)
        noisy_power = np.square(x.real) + np.square(x.imag)
        clean_power = np.square(s.real) + np.square(s.imag)
        noisy_magnitude = np.sqrt(noisy_power)
        return cls(
            features=features,
            noisy_power=noisy_power,
            clean_power=clean_power,
            cross=x.real * s.real + x.imag * s.imag,
            noisy_bands=compressed_bands(noisy_magnitude, front_end.bands),
            clean_bands=compressed_bands(np.sqrt(clean_power), front_end.bands),
        )


def prefetched(
    source: MixtureSource, front_end: FrontEnd, batch_size: int, steps: range
) -> Iterator[Batch]:
    """Yield the batches of ``steps`` in order, prepared ahead by a background thread.

    An exception in the thread is raised here, at the step it belongs to.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(PREFETCH)
    stopped = threading.Event()

    def produce() -> None:
        try:
            for step in steps:
                item: Batch | BaseException
                item = Batch.from_audio(*source.batch(step, batch_size), front_end)
                while not stopped.is_set():
                    try:
                        ready.put(item, timeout=0.2)
                        break
                    except queue.Full:
                        continue
                if stopped.is_set():
                    return
        except BaseException as error:
            ready.put(error)

    thread = threading.Thread(target=produce, name="mixing", daemon=True)
    thread.start()
    try:
        for _ in steps:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
