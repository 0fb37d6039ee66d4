"""Every kind of network trains, is compressed and lowered with 0 mismatches."""

from pathlib import Path

import numpy as np
import pytest
from agreement_of_views import assert_all_agree, in_integers
from kinds import KINDS, network

from pipeline.compression.method import Method
from pipeline.compression.methods.low_rank import LowRank
from pipeline.compression.methods.prune import Prune
from tests.compression.few_steps import LONGER, trained_with

METHODS: dict[str, Method] = {
    "weights": Prune(do="prune", sparsity=0.5),
    "blocks": Prune(do="prune", structure="block", block=(4, 4), sparsity=0.5),
    "units": Prune(do="prune", structure="unit", sparsity=0.4),
    "rank": LowRank(do="low_rank", rank=8),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_compressed_network_is_the_same_everywhere(
    kind: str, method: str, tmp_path: Path
) -> None:
    start = in_integers(network(KINDS[kind](), 3), 3)
    trained, _ = trained_with([METHODS[method]], start, seed=3, plan=LONGER)
    kept = sum(
        np.count_nonzero(trained.arrays[f"{name}/kernel"] * trained.arrays[f"{name}/mask"])
        for name in trained.graph.matrices()
    )
    assert kept < 0.9 * start.total("kernel")
    resized = trained.graph.matrices() != start.graph.matrices()
    assert resized == METHODS[method].resizes
    assert_all_agree(trained, tmp_path, 3)
