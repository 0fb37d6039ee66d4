"""The emulator against reference kernels on randomly generated graphs.

The sample run here takes one MAC configuration per graph in turn. The complete suite runs every
graph on all four: `python tests/ethosu/run_suite.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from ethosu_graphs import FAMILIES, generate
from ethosu_reference import ACCELERATOR_MACS, compare, vela_compile
from exact_arithmetic import ExactArithmetic
from known_differences import references_of
from tflite_builder import GraphBuilder, schema

from pipeline.ethosu import CpuOperatorError, Emulator, load_vela_model
from pipeline.ethosu.golden import MicroGolden, TfliteGolden
from pipeline.ethosu.stimuli import random_inputs

GRAPHS_PER_FAMILY = 8


@pytest.mark.parametrize("family", FAMILIES)
def test_family_equals_its_reference_bit_for_bit(family: str) -> None:
    compiled = 0
    for seed in range(GRAPHS_PER_FAMILY):
        model = generate(family, seed)
        macs = ACCELERATOR_MACS[seed % len(ACCELERATOR_MACS)]
        try:
            emulator = Emulator(load_vela_model(vela_compile(model, macs)))
        except CpuOperatorError:
            continue  # Vela leaves this combination of attributes to the CPU.
        compiled += 1
        inputs = random_inputs(emulator.model.inputs, np.random.default_rng(seed))
        for reference, bound in references_of(family).items():
            assert compare(emulator, reference(model), inputs).largest_difference <= bound
    assert compiled


def test_logarithm_table_differs_from_tflite_in_its_last_segment_only() -> None:
    model = generate("logarithm_int16", 11)
    emulator, golden = Emulator(load_vela_model(vela_compile(model))), TfliteGolden(model)
    (spec,) = emulator.model.inputs
    rng = np.random.default_rng(0)
    first = 32767 - 127
    below = rng.integers(-32768, first, spec.shape).astype(np.int16)
    inside = rng.integers(first, 32768, spec.shape).astype(np.int16)
    assert compare(emulator, golden, {spec.name: below}).mismatches == 0
    assert compare(emulator, golden, {spec.name: inside}).mismatches > 0


def test_vela_sums_over_the_first_of_two_axes_only() -> None:
    """Not what the model says, and faithfully emulated; docs/ethosu.md lists it."""
    graph = GraphBuilder()
    x = graph.tensor((1, 4, 6, 10), "int8", 0.1)
    axes = graph.tensor((2,), "int32", data=np.array([1, 2]))
    y = graph.tensor((1, 1, 1, 10), "int8", 0.1 * 24)
    graph.operator("SUM", [x, axes], [y], "ReducerOptions", keepDims=True)
    model = graph.build([x], [y])
    emulator = Emulator(load_vela_model(vela_compile(model)))
    inputs = random_inputs(emulator.model.inputs, np.random.default_rng(0))
    assert compare(emulator, ExactArithmetic(model), inputs).mismatches > 0
    over_height = inputs["t0"].astype(int).sum(axis=1)[0, 0]
    (actual,) = emulator.invoke(inputs).values()
    assert np.array_equal(actual.reshape(-1), np.floor(over_height / 24 + 0.5))


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1), (2, 2)])
def test_vela_subtracts_weight_zero_points_which_references_ignore(kernel: tuple[int, int]) -> None:
    """TFLite's int8 scheme has none; where a file has them, nearly every output differs."""

    def transpose_conv(zero_point: int, offset: int) -> bytes:
        rng, graph = np.random.default_rng(0), GraphBuilder()
        x = graph.tensor((1, 8, 14, 16), "int8", 0.02, 5)
        values = rng.integers(-60, 61, (24, *kernel, 16)) + offset
        scales = rng.uniform(0.005, 0.02, 24).astype(np.float32)
        w = graph.tensor((24, *kernel, 16), "int8", scales, zero_point, values)
        b = graph.tensor((24,), "int32", scales * np.float32(0.02), 0, np.zeros(24))
        out = (1, 8 + kernel[0] - 1, 14 + kernel[1] - 1, 24)
        y = graph.tensor(out, "int8", 0.6, -3)
        shape = graph.tensor((4,), "int32", data=np.array(out))
        graph.operator(
            "TRANSPOSE_CONV", [shape, w, x, b], [y], "TransposeConvOptions",
            padding=schema.Padding.VALID, strideH=1, strideW=1,
        )  # fmt: skip
        return graph.build([x], [y])

    model = transpose_conv(zero_point=40, offset=40)
    emulator = Emulator(load_vela_model(vela_compile(model)))
    inputs = random_inputs(emulator.model.inputs, np.random.default_rng(1))
    for reference in (TfliteGolden, MicroGolden):
        different = compare(emulator, reference(model), inputs)
        assert different.mismatches > 0.8 * different.elements
        same = reference(transpose_conv(zero_point=0, offset=0))
        (expected,), (actual,) = same.invoke(inputs).values(), emulator.invoke(inputs).values()
        assert np.array_equal(expected, actual)
