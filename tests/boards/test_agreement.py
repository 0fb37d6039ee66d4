"""The comparison with the host finds what differs, where, and by how much."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
from compiled_enhancer import Compiled
from numpy.typing import NDArray

from pipeline.boards.agreement import compare_with_host
from pipeline.boards.board import Enhanced
from pipeline.boards.protocol import FirmwareLog
from pipeline.dsp import istft, stft


def host_made(compiled: Compiled, noisy: NDArray[np.int16]) -> Enhanced:
    """What a perfect board would return."""
    spectrum = stft(noisy.astype(np.float32) / np.float32(32768))
    specs = compiled.emulator.inputs | compiled.emulator.outputs
    features = specs["features"].quantize(compiled.front_end.features(np.abs(spectrum)))
    mask = compiled.masks(features)
    gains = compiled.front_end.gains(specs["mask"].dequantize(mask))
    samples = np.rint(32768 * istft(spectrum * gains, len(noisy))).astype(np.int16)
    return Enhanced(samples, features, mask, cast(FirmwareLog, None))


def changed(values: NDArray[Any], steps: int) -> NDArray[Any]:
    copy = values.copy()
    middle = copy.size // 2
    copy.flat[middle] += steps if copy.flat[middle] < 0 else -steps
    return copy


def test_differences_are_counted_where_they_are(compiled: Compiled) -> None:
    noisy = np.random.default_rng(3).integers(-5000, 5000, 3001).astype(np.int16)
    exact = host_made(compiled, noisy)

    def agreement(**changes: NDArray[Any]) -> tuple[int, int, int]:
        result = dataclasses.replace(exact, **changes)
        found = compare_with_host(result, compiled.emulator, compiled.front_end, noisy)
        assert found.mask_values == exact.mask.size
        np.testing.assert_array_equal(found.host_samples, exact.samples)
        return found.mask_mismatches, found.feature_steps, found.sample_steps

    assert agreement() == (0, 0, 0)
    assert agreement(samples=changed(exact.samples, 7)) == (0, 0, 7)
    assert agreement(mask=changed(exact.mask, 1))[:2] == (1, 0)
    mismatches, feature_steps, sample_steps = agreement(features=changed(exact.features, 90))
    assert (mismatches > 0, feature_steps, sample_steps) == (True, 90, 0)


def test_lost_samples_are_an_error(compiled: Compiled) -> None:
    noisy = np.zeros(600, np.int16)
    short = dataclasses.replace(host_made(compiled, noisy), samples=noisy[:599])
    with pytest.raises(ValueError, match=r"600.*599"):
        compare_with_host(short, compiled.emulator, compiled.front_end, noisy)
