"""The emulator against TFLite's reference kernels on randomly generated graphs.

The sample run here takes one MAC configuration per graph in turn. The complete suite runs every
graph on all four: `python tests/ethosu/run_suite.py`.
"""

from __future__ import annotations

import pytest
from ethosu_graphs import FAMILIES, generate
from ethosu_reference import (
    ACCELERATOR_MACS,
    Comparison,
    MicroReference,
    TfliteReference,
    compare_with_reference,
)
from known_differences import KNOWN_DIFFERENCES

from pipeline.ethosu import CpuOperatorError

GRAPHS_PER_FAMILY = 8


def compare_family(
    family: str, reference: type[TfliteReference | MicroReference]
) -> list[Comparison]:
    comparisons = []
    for seed in range(GRAPHS_PER_FAMILY):
        macs = ACCELERATOR_MACS[seed % len(ACCELERATOR_MACS)]
        try:
            comparisons.append(
                compare_with_reference(generate(family, seed), macs, seed, reference)
            )
        except CpuOperatorError:
            continue  # Vela leaves this combination of attributes to the CPU.
    assert comparisons
    return comparisons


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in KNOWN_DIFFERENCES])
def test_family_equals_tflite_bit_for_bit(family: str) -> None:
    assert all(c.mismatches == 0 for c in compare_family(family, TfliteReference))


@pytest.mark.parametrize("family", KNOWN_DIFFERENCES)
def test_family_equals_tflite_micro_where_tflite_differs(family: str) -> None:
    assert all(c.mismatches == 0 for c in compare_family(family, MicroReference))
    _, bound = KNOWN_DIFFERENCES[family]
    assert all(c.largest_difference <= bound for c in compare_family(family, TfliteReference))
