"""Channels and lines of attention removed: what is deployed is what was trained."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.compression.attention_pruning import narrower, pair_scores, value_scores
from pipeline.compression.lines import LineStructure, line_groups, zero_lines
from pipeline.compression.method import Method
from pipeline.compression.methods.snp import SNP
from pipeline.compression.methods.tprune import AnalyseLines, TPrune
from pipeline.errors import InputError
from pipeline.networks.attention import AttentionNet
from pipeline.networks.convnet import ConvNet
from pipeline.networks.groups import groups
from pipeline.networks.trained import Trained, untrained
from pipeline.quantization import FLOAT
from tests.compression.few_steps import trained_with
from tests.networks.agreement_of_views import assert_all_agree, features, in_integers
from tests.small_networks import front_end, trained_looking

NETWORK = AttentionNet(
    network="attention", attention="full", bands=32, tokens=8, outer_channels=8, channels=8,
    blocks=1, convolutions=1, width=16, heads=2,
)  # fmt: skip
CONVNET = ConvNet(network="convnet", bands=32, outer_channels=8, channels=8, blocks=1)


def start(seed: int) -> Trained:
    return in_integers(trained_looking(untrained(NETWORK, front_end(32), seed), seed), seed)


@pytest.mark.parametrize(
    "method",
    [
        SNP(do="snp", pairs=0.5, values=0.5),
        SNP(do="snp", pairs=0.5, importance="heads"),
        TPrune(do="tprune", sparsity=0.4, strength=0.05),
    ],
    ids=["snp", "heads", "tprune"],
)
def test_what_is_deployed_is_what_was_trained(method: Method, tmp_path: Path) -> None:
    before = start(1)
    trained, mask = trained_with([method], before, 1)
    assert trained.total("kernel") < before.total("kernel")
    by_heads: dict[str, set[int]] = {}
    for group in groups(trained.graph):
        by_heads.setdefault(group.heads, set()).add(group.units)
    assert all(len(counts) == 1 for counts in by_heads.values())
    np.testing.assert_array_equal(trained.build()(features(1)).numpy(), mask)
    assert_all_agree(trained, tmp_path, 1)


def test_weak_terms_of_the_scores_go_and_leave_them_nearly_as_they_were() -> None:
    trained = dataclasses.replace(start(2), scheme=FLOAT)
    kernel = trained.arrays["block1_query/kernel"].copy()
    bias = trained.arrays["block1_query/bias"].copy()
    weak = np.tile(np.arange(8) % 2 == 0, 2)
    kernel[:, weak] *= 1e-6
    bias[weak] *= 1e-6
    trained = dataclasses.replace(
        trained,
        arrays=trained.arrays | {"block1_query/kernel": kernel, "block1_query/bias": bias},
    )
    smaller = narrower(trained, features(2), pairs=0.5, values=0.0, importance="attention")
    for part in ("query", "key"):
        whole = trained.arrays[f"block1_{part}/kernel"]
        np.testing.assert_array_equal(smaller.arrays[f"block1_{part}/kernel"], whole[:, ~weak])
    shares = [
        t.build().observe(features(3), ["block1_shares"])["block1_shares"].numpy()
        for t in (trained, smaller)
    ]
    np.testing.assert_allclose(*shares, atol=0.01)


def test_the_weakest_head_goes_whole() -> None:
    trained = start(7)
    first = np.arange(16) < 8
    for name in ("block1_query", "block1_key", "block1_value"):
        trained.arrays[f"{name}/kernel"][:, first] *= 0.1
    smaller = SNP(do="snp", pairs=0.5, importance="heads").start(trained, features(7))
    assert smaller.graph["block1_shares"].shape == (1, 8, 8)
    for name, array in trained.arrays.items():
        if name in ("block1_query/kernel", "block1_key/kernel", "block1_value/kernel"):
            np.testing.assert_array_equal(smaller.arrays[name], array[:, ~first])
        elif name == "block1_back/kernel":
            np.testing.assert_array_equal(smaller.arrays[name], array[~first])
    with pytest.raises(InputError, match="of the heads is none"):
        SNP(do="snp", pairs=0.1, importance="heads").check(NETWORK.define(), [])


def test_a_value_that_another_head_has_too_counts_little() -> None:
    random = np.random.default_rng(4)
    value = random.normal(size=(5, 2, 8, 4))
    value[:, 1, :, 3] = -2 * value[:, 0, :, 1]
    scores = value_scores(value)
    twins = {(0, 1), (1, 3)}
    order = np.argsort(scores.ravel())
    assert {divmod(int(k), 4) for k in order[:2]} == twins
    query, key = random.normal(size=(2, 5, 2, 8, 4))
    query[:, 0, :, 2] *= 0.01
    assert pair_scores(query, key)[0].argmin() == 2


def test_lines_of_blocks_add_up_and_spread_back() -> None:
    structure = LineStructure(NETWORK.define())
    assert {"block1_query", "block1_back", "block1_up", "block1_down"} <= {*structure.matrices}
    random = np.random.default_rng(5)
    shapes = NETWORK.define().matrices()
    weights = {name: random.normal(size=shape) for name, shape in shapes.items()}
    sums = structure.sums(weights)
    assert sums["block1_query/rows"].shape == (2, 8) and sums["block1_back/columns"].shape == (2, 8)
    values = {name: random.normal(size=array.shape) for name, array in sums.items()}
    there = sum(float(np.sum(values[name] * sums[name])) for name in sums)
    back = sum(float(np.sum(x * weights[name])) for name, x in structure.spread(values).items())
    assert there == pytest.approx(back, rel=1e-5)


def test_the_analysis_removes_nothing_and_counts_lines_that_vanished() -> None:
    method = AnalyseLines(do="analyse_lines", strength=0.1)
    before = start(6)
    trained, _ = trained_with([method], before, 6)
    assert trained.graph == before.graph
    model = trained.build()
    kernel = model.matrices[[m.name for m in model.matrices].index("block1_up")].kernel
    kernel.assign(kernel.numpy() * (np.arange(16) != 3))
    assert method.findings(model) == {"zero_lines": zero_lines(model)}
    assert zero_lines(model)["block1_up"]["columns"] >= 1 / 16


def test_networks_without_such_channels_are_refused() -> None:
    assert line_groups(NETWORK.define())
    paired = NETWORK.model_copy(update={"attention": "paired", "sums": 4})
    with pytest.raises(InputError, match="whose pairs can be removed"):
        SNP(do="snp").check(paired.define(), [])
    SNP(do="snp", pairs=0.0, values=0.5).check(paired.define(), [])
    with pytest.raises(InputError, match="the network has none"):
        TPrune(do="tprune", sparsity=0.5).check(CONVNET.define(), [])
