"""Magnitudes -> network features, and band mask -> bin gains."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from pipeline.dsp.bands import band_matrix

POWER_COMPRESSION = 0.3
# Features are clipped at this many standard deviations and scaled to [-1, 1], the range of a
# recurrent output, so that features and state share one int8 scale and one matrix product.
CLIP_DEVIATIONS = 4.0


def compressed_bands(
    magnitude: NDArray[np.float32], bands: int, gains: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Average ``[..., 257]`` magnitudes into bands and compress: float32 ``[..., bands]``.

    Each frame's magnitudes are first multiplied by its gain ``[...]``, if there are gains.
    """
    matrix = band_matrix(bands)
    averaged = magnitude @ (matrix / matrix.sum(axis=0))
    if gains is not None:
        averaged *= gains[..., None]
    return np.power(averaged, np.float32(POWER_COMPRESSION), dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """What makes features of audio: conditioning, and standardization measured on mixtures.

    Attributes:
        mean: float32 ``[bands]``, mean of the compressed band magnitudes.
        deviation: float32 ``[bands]``, their standard deviation, all positive.
        conditioned: offset and level of the input are followed, see `pipeline.dsp.conditioning`;
            without it the network sees the input as it is.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    conditioned: bool = False

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.deviation.shape:
            raise ValueError(
                f"front end: mean {self.mean.shape} and deviation {self.deviation.shape} "
                "must be two vectors of one length"
            )
        if not (np.isfinite(self.mean).all() and (self.deviation > 0).all()):
            raise ValueError("front end: mean must be finite and deviation positive")

    @property
    def bands(self) -> int:
        """Number of bands."""
        return int(self.mean.shape[0])

    @classmethod
    def measure(
        cls, magnitude: NDArray[np.float32], gains: NDArray[np.float32], bands: int
    ) -> "FrontEnd":
        """Measure mean and deviation over ``[..., 257]`` magnitudes times ``[...]`` gains."""
        compressed = compressed_bands(magnitude, bands, gains).reshape(-1, bands)
        compressed = compressed.astype(np.float64)
        return cls(
            compressed.mean(axis=0).astype(np.float32),
            np.maximum(compressed.std(axis=0), 1e-4).astype(np.float32),
            conditioned=True,
        )

    def features(
        self, magnitude: NDArray[np.float32], gains: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Turn ``[..., 257]`` magnitudes into float32 ``[..., bands]`` features in [-1, 1].

        Args:
            magnitude: of frames without offset, if conditioned.
            gains: of the frames, ``[...]``, if conditioned.
        """
        compressed = compressed_bands(magnitude, self.bands, gains)
        scaled = (compressed - self.mean) / (np.float32(CLIP_DEVIATIONS) * self.deviation)
        return np.clip(scaled, -1.0, 1.0)

    def gains(self, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """Interpolate a ``[..., bands]`` mask to ``[..., 257]`` bin gains."""
        return mask @ band_matrix(self.bands).T
