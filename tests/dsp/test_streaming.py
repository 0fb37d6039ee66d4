"""Enhancing block by block gives what enhancing at once gives."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dsp import FrontEnd, StreamingEnhancer, enhance

BANDS = 16


def front_end() -> FrontEnd:
    return FrontEnd(np.full(BANDS, 0.5, np.float32), np.full(BANDS, 0.3, np.float32), True)


def smoothing_mask() -> Callable[[np.ndarray], np.ndarray]:
    """A mask that depends on all frames so far, as a recurrent network's does."""
    state = np.zeros(BANDS, np.float32)

    def mask(features: np.ndarray) -> np.ndarray:
        nonlocal state
        masks = []
        for frame in features:
            state = 0.9 * state + 0.1 * frame
            masks.append(1 / (1 + np.exp(-4 * state)))
        return np.stack(masks).astype(np.float32)

    return mask


def in_blocks(signal: np.ndarray, sizes: list[int]) -> np.ndarray:
    enhancer = StreamingEnhancer(front_end(), smoothing_mask())
    given_back, begin = [], 0
    for size in [*sizes, signal.size]:
        given_back.append(enhancer.process(signal[begin : begin + size]))
        begin += size
    return np.concatenate([*given_back, enhancer.finish()])


@given(
    samples=st.integers(1, 5000),
    sizes=st.lists(st.integers(0, 1500), max_size=8),
    seed=st.integers(0, 99),
)
def test_blocks_of_any_size_give_the_whole(samples: int, sizes: list[int], seed: int) -> None:
    signal = np.random.default_rng(seed).normal(scale=0.2, size=samples).astype(np.float32)
    expected = enhance(signal, front_end(), smoothing_mask())
    np.testing.assert_allclose(in_blocks(signal, sizes), expected, atol=2e-6)


def test_nothing_in_gives_nothing_out() -> None:
    assert StreamingEnhancer(front_end(), smoothing_mask()).finish().size == 0


@pytest.mark.parametrize("samples", [1, 256, 257, 511, 512, 4096])
def test_lag_is_at_most_two_hops(samples: int) -> None:
    enhancer = StreamingEnhancer(front_end(), smoothing_mask())
    out = enhancer.process(np.zeros(samples, np.float32))
    assert samples - 2 * 256 < out.size <= samples
