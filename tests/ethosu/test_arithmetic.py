"""Scaling in 64-bit integers, over the whole range of multipliers and shifts, against Python's."""

from __future__ import annotations

import numpy as np
import pytest
from ethosu_reference import compare, vela_compile
from tflite_builder import GraphBuilder, schema

from pipeline.ethosu import Emulator, arithmetic, load_vela_model
from pipeline.ethosu.arithmetic import make_rescale
from pipeline.ethosu.golden import MicroGolden
from pipeline.ethosu.operations import Rounding
from pipeline.ethosu.stimuli import random_inputs


def _exact(value: int, scale: int, shift: int, rounding: Rounding) -> int:
    product = value * scale
    if rounding is Rounding.TRUNCATE:
        return -(-product >> shift) if product < 0 else product >> shift
    if rounding is Rounding.NATURAL:
        return (2 * product + (1 << shift) >> shift + 1) if shift else product
    first = min(shift, 31)
    high = (2 * product + (1 << first) >> first + 1) if first else product
    rest = shift - first
    magnitude = (2 * abs(high) + (1 << rest) >> rest + 1) if rest else abs(high)
    return magnitude if high >= 0 else -magnitude


@pytest.mark.parametrize("rounding", Rounding)
def test_every_shift_is_exact(rounding: Rounding) -> None:
    rng = np.random.default_rng(0)
    shifts = np.arange(64)
    scales = rng.integers(0, 1 << 31, 64)
    values = rng.integers(-(1 << 31) + 1, 1 << 31, (40, 64))
    values[:4] = np.array([[0], [1], [-1], [(1 << 31) - 1]])
    actual = make_rescale(scales, shifts, rounding, (1 << 31) - 1)(values)
    for row, computed in zip(values.tolist(), actual.tolist(), strict=True):
        for value, scale, shift, result in zip(
            row, scales.tolist(), shifts.tolist(), computed, strict=True
        ):
            assert result == _exact(value, scale, shift, rounding)


def test_dead_channel_stays_in_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel of zeros has the smallest scale there is, hence shifts of 62 and 63."""

    def refused(*arguments: object) -> None:
        raise AssertionError("a convolution was sent through Python integers")

    monkeypatch.setattr(arithmetic, "_make_wide_rescale", refused)
    rng, graph = np.random.default_rng(0), GraphBuilder()
    x = graph.tensor((1, 6, 6, 8), "int8", 0.02, 5)
    values = rng.integers(-127, 128, (4, 3, 3, 8))
    values[1] = 0
    scales = np.array([0.01, 1e-9, 0.02, 0.01], np.float32)
    w = graph.tensor((4, 3, 3, 8), "int8", scales, 0, values)
    b = graph.tensor((4,), "int32", scales * np.float32(0.02), 0, np.array([5, 0, -7, 9]))
    y = graph.tensor((1, 4, 4, 4), "int8", 0.2, -3)
    graph.operator(
        "CONV_2D", [x, w, b], [y], "Conv2DOptions", padding=schema.Padding.VALID,
        strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    model = graph.build([x], [y])
    emulator = Emulator(load_vela_model(vela_compile(model)))
    inputs = random_inputs(emulator.model.inputs, rng)
    assert compare(emulator, MicroGolden(model), inputs).mismatches == 0
