"""Matrices of few integers go through training and lowering with 0 mismatches."""

from pathlib import Path

import numpy as np
import pytest
from agreement_of_views import assert_all_agree, in_integers

from pipeline.compression.method import Method
from pipeline.compression.methods.cluster import Cluster
from pipeline.compression.methods.coarsen import Coarsen
from pipeline.compression.methods.prune import Prune
from pipeline.compression.methods.share_bits import ShareBits
from pipeline.compression.methods.unify import Unify
from pipeline.lowering.tflite import integer_matrix
from pipeline.networks.convnet import ConvNet
from pipeline.networks.settings import NetworkSettings
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained, untrained
from tests.compression.few_steps import LONGER, trained_with
from tests.small_networks import front_end, trained_looking

CONVNET = ConvNet(network="convnet", bands=32, outer_channels=16, channels=16, blocks=2)
LSTMS = TinyLSTMs(bands=32, lstm_units=(16, 16), dense_units=16)


METHODS: dict[str, tuple[NetworkSettings, list[Method]]] = {
    "cluster": (LSTMS, [Cluster(do="cluster", clusters=8)]),
    "coarsen": (CONVNET, [Coarsen(do="coarsen", bits=3)]),
    "prune, share_bits": (
        LSTMS,
        [Prune(do="prune", sparsity=0.5), ShareBits(do="share_bits", bits=2.0)],
    ),
    "unify": (LSTMS, [Unify(do="unify", unified=0.8, zeros=0.1)]),
    "prune, unify": (CONVNET, [Prune(do="prune", sparsity=0.5), Unify(do="unify", unified=0.5)]),
    "coarsen, cluster": (
        CONVNET,
        [Coarsen(do="coarsen", bits=5), Cluster(do="cluster", clusters=6)],
    ),
}


@pytest.mark.parametrize(("settings", "methods"), METHODS.values(), ids=METHODS)
def test_few_integers_are_the_same_everywhere(
    settings: NetworkSettings, methods: list[Method], tmp_path: Path
) -> None:
    start = started(settings)
    trained, _ = trained_with(methods, start, seed=3, plan=LONGER)
    assert distinct_integers(trained) < distinct_integers(start)
    assert_all_agree(trained, tmp_path, 3)


def started(settings: NetworkSettings) -> Trained:
    start = trained_looking(untrained(settings, front_end(32), seed=3), seed=3)
    return in_integers(start, 3)


def distinct_integers(trained: Trained) -> int:
    """Over all matrices."""
    return sum(
        np.unique(integer_matrix(trained, name).weights).size for name in trained.graph.matrices()
    )
