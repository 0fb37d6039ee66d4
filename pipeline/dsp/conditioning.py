"""Offset and level of the input, followed hop by hop in integers.

What the network sees should not depend on how far the talker is from the microphone or on a
converter's offset. Both are estimated causally: an offset that is subtracted from the audio, and a
gain for the magnitudes that features are made of. The audio itself keeps its level, so there is
nothing to undo behind the mask.

Everything that is carried from hop to hop is an integer, so that a device computes the same bits
(firmware/dsp/conditioner.cpp); a gain follows from its integer by one division and one square root,
which IEEE 754 rounds alike everywhere.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from pipeline.dsp.stft import HOP_SAMPLES

FULL_SCALE = 32768
# The newest hop (16 ms) weighs 2 ** -shift: time constants are half a second and a second. At the
# start of a stream it weighs more, so that both are about means over the hops so far.
OFFSET_SHIFT = 5
LEVEL_SHIFT = 6
OFFSET_FRACTION_BITS = 16
LEVEL_FRACTION_BITS = 8
# The gain is 1 at -27.1 dBFS and grows no further below -72.2 dBFS.
_ENERGY_BITS = 30 + 8 + LEVEL_FRACTION_BITS
NOMINAL_LEVEL = 1 << (_ENERGY_BITS - 9)
LOWEST_LEVEL = NOMINAL_LEVEL >> 15


class Conditioner:
    """Offset and level of one stream, or of several in step; starts afresh when made."""

    def __init__(self, streams: int = 1) -> None:
        self._state = np.zeros((streams, 3), np.int64)

    def __call__(
        self, samples: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Take the next whole hops of every stream.

        Args:
            samples: float32 ``[streams, hops * 256]`` in -1..1.

        Returns:
            The samples without their offset, and the gains ``[streams, hops]`` float32 of the
            frames that end with these hops.
        """
        hops = samples.reshape(len(samples), -1, HOP_SAMPLES)
        pcm = np.clip(np.rint(hops * np.float32(FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1)
        offsets, levels = _follow(pcm.astype(np.int32), self._state)
        centred = hops - (offsets / np.float32(FULL_SCALE)).astype(np.float32)[..., None]
        gains = np.sqrt(np.float32(NOMINAL_LEVEL) / levels.astype(np.float32))
        return centred.reshape(samples.shape), gains


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _follow(
    pcm: NDArray[np.int32], state: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Offset in steps of 16 bits and level of every hop [streams, hops, 256]; updates `state`.

    A stream's state is the offset and the level as fixed-point numbers and the hops seen, as far
    as they matter.
    """
    streams, hops, _ = pcm.shape
    offsets = np.empty((streams, hops), np.int32)
    levels = np.empty((streams, hops), np.int64)
    for stream in range(streams):
        offset, level, seen = state[stream]
        for hop in range(hops):
            total = np.int64(0)
            for sample in pcm[stream, hop]:
                total += sample
            mean = total << (OFFSET_FRACTION_BITS - 8)
            age = 0
            while seen >> age:
                age += 1
            offset += (mean - offset) >> min(age, OFFSET_SHIFT)
            rounded = (offset + (1 << (OFFSET_FRACTION_BITS - 1))) >> OFFSET_FRACTION_BITS
            energy = np.int64(0)
            for sample in pcm[stream, hop]:
                energy += (sample - rounded) * (sample - rounded)
            energy <<= LEVEL_FRACTION_BITS
            level += (energy - level) >> min(age, LEVEL_SHIFT)
            seen = min(seen + 1, 1 << LEVEL_SHIFT)
            offsets[stream, hop] = rounded
            levels[stream, hop] = max(level, LOWEST_LEVEL)
        state[stream] = offset, level, seen
    return offsets, levels
