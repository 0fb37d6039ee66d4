"""The emulator against TFLite's reference kernels on randomly generated graphs.

The sample run here takes one MAC configuration per graph in turn. The complete suite runs every
graph on all four: `python tests/ethosu/run_suite.py`.
"""

from __future__ import annotations

import pytest
from ethosu_graphs import FAMILIES, generate
from ethosu_reference import ACCELERATOR_MACS, compare_with_reference
from known_differences import KNOWN_DIFFERENCES

from pipeline.ethosu import CpuOperatorError

GRAPHS_PER_FAMILY = 8


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in KNOWN_DIFFERENCES])
def test_family_matches_the_reference_bit_for_bit(family: str) -> None:
    compared = 0
    for seed in range(GRAPHS_PER_FAMILY):
        macs = ACCELERATOR_MACS[seed % len(ACCELERATOR_MACS)]
        try:
            comparison = compare_with_reference(generate(family, seed), macs, seed)
        except CpuOperatorError:
            continue  # Vela leaves this combination of attributes to the CPU.
        assert comparison.mismatches == 0, f"{family} seed {seed} on U55-{macs}: {comparison}"
        compared += comparison.elements
    assert compared > 0
