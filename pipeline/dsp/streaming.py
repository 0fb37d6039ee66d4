"""`pipeline.dsp.enhance` block by block, so that memory does not grow with the recording."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.dsp.analysis import Analyser
from pipeline.dsp.frontend import FrontEnd
from pipeline.dsp.stft import HOP_SAMPLES, half_frames

Array = NDArray[np.float32]


class StreamingEnhancer:
    """Enhances one channel given in blocks of any length; what comes out lags by up to two hops.

    The blocks that `process` and `finish` return, joined, equal `pipeline.dsp.enhance` of the
    blocks that went in, joined.
    """

    def __init__(self, front_end: FrontEnd, mask_of: Callable[[Array], Array]) -> None:
        """Start a stream.

        Args:
            front_end: turns audio into features and band masks into bin gains.
            mask_of: features ``[frames, bands]`` -> mask ``[frames, bands]``; called with
                consecutive frames, it may keep state from call to call.
        """
        self._front_end, self._mask_of = front_end, mask_of
        self._analyser = Analyser(front_end)
        self._waiting = np.zeros(0, np.float32)
        self._overlap = np.zeros(HOP_SAMPLES, np.float32)
        self._taken_samples, self._given_samples = 0, -HOP_SAMPLES

    def process(self, samples: Array) -> Array:
        """Take float32 ``[samples]`` at 16 kHz and return what has become complete."""
        self._taken_samples += samples.size
        self._waiting = np.concatenate([self._waiting, samples])
        whole = self._waiting.size // HOP_SAMPLES * HOP_SAMPLES
        hops, self._waiting = self._waiting[:whole], self._waiting[whole:]
        return self._give(self._enhanced(hops))

    def finish(self) -> Array:
        """Return the rest, so that as many samples have come out as went in."""
        missing = -self._waiting.size % HOP_SAMPLES
        tail = np.concatenate([self._waiting, np.zeros(missing + HOP_SAMPLES, np.float32)])
        return self._give(self._enhanced(tail))

    def _give(self, hops: Array) -> Array:
        """What of the next hops lies within the stream."""
        begin = max(0, -self._given_samples)
        end = max(0, self._taken_samples - self._given_samples)
        self._given_samples += hops.size
        return hops[begin:end]

    def _enhanced(self, hops: Array) -> Array:
        """Whole hops in, as many out; the first hop of a stream lies before its beginning."""
        if not hops.size:
            return hops
        (spectrum,), (features,) = self._analyser(hops[None])
        halves = half_frames(spectrum * self._front_end.gains(self._mask_of(features)))
        seconds = np.concatenate([self._overlap[None], halves[:-1, 1]])
        self._overlap = halves[-1, 1]
        return (halves[:, 0] + seconds).reshape(-1)
