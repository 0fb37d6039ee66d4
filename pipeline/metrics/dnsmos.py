"""DNSMOS P.835: what a listening panel would say of speech, background and the whole.

Reddy, Gopal, Cutler, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to
evaluate noise suppressors", ICASSP 2022. The published network is fetched from a pinned wheel; the
three polynomials that map its outputs to opinion scores are those published with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.peer_models import onnx_session
from pipeline.pinned_packages import PinnedPackage, fetch

RATE_HZ = 16_000
WINDOW_SAMPLES = 144_160  # 9.01 s
HOP_SAMPLES = RATE_HZ

WHEEL = PinnedPackage(
    requirement="speechmos==0.0.1.1",
    filename="speechmos-0.0.1.1-py3-none-any.whl",
    sha256="31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
    members={"speechmos/dnsmos_models/sig_bak_ovr.onnx": 1_157_965},
)
# Highest power first: speech, background, overall.
_POLYNOMIALS = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


@dataclass(frozen=True)
class OpinionScores:
    """Mean opinion scores, 1 to 5."""

    speech: float
    background: float
    overall: float


class Dnsmos:
    """Scores enhanced speech without a reference."""

    def __init__(self, session: Any) -> None:
        """`session` maps `input_1` [1, 144160] to raw scores [1, 3]."""
        self._session = session

    @classmethod
    def load(cls, cache_dir: Path) -> Dnsmos:
        """Load the pinned network through `cache_dir`. Raises PinnedError or InputError."""
        (member,) = WHEEL.members
        return cls(onnx_session(fetch(WHEEL, cache_dir) / member))

    def __call__(self, signal: NDArray[np.floating]) -> OpinionScores:
        """Score `[samples]` in [-1, 1] at 16 kHz: the mean over windows one second apart.

        A shorter signal is doubled until it fills a window, as published.

        Raises:
            ValueError: the signal is empty.
        """
        if not signal.size:
            raise ValueError("DNSMOS: the signal holds no samples")
        while signal.size < WINDOW_SAMPLES:
            signal = np.concatenate([signal, signal])
        # As published, so that scores compare: whole seconds are counted, not windows that fit.
        count = int(signal.size // RATE_HZ - WINDOW_SAMPLES / RATE_HZ) + 1
        every = np.lib.stride_tricks.sliding_window_view(signal, WINDOW_SAMPLES)
        windows = every[::HOP_SAMPLES][:count]
        raw = [
            self._session.run(None, {"input_1": window.astype(np.float32)[None]})[0][0]
            for window in windows
        ]
        scores = [
            float(np.mean(np.polyval(polynomial, column)))
            for polynomial, column in zip(_POLYNOMIALS, np.transpose(raw), strict=True)
        ]
        return OpinionScores(*scores)
