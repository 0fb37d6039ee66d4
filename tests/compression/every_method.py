"""Every method with settings that act on small networks."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.compression.method import Method
from pipeline.compression.methods import METHODS
from pipeline.compression.methods.start_from import StartFrom
from pipeline.errors import InputError
from pipeline.networks.attention import AttentionNet
from pipeline.networks.settings import NetworkSettings
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained, untrained
from tests.networks.agreement_of_views import in_integers
from tests.small_networks import front_end, trained_looking

# The cheapest to run comes first.
NETWORKS: tuple[NetworkSettings, ...] = (
    TinyLSTMs(bands=32, lstm_units=(16,), dense_units=16),
    AttentionNet(
        network="attention", attention="full", bands=32, tokens=8, outer_channels=8, channels=16,
        blocks=1, convolutions=1, width=16, heads=2,
    ),
)  # fmt: skip
SETTINGS = {
    "cluster": {"clusters": 8},
    "coarsen": {"bits": 4},
    "learn_thresholds": {"sparsity": 0.3},
    "low_rank": {"rank": 12},
    "penni": {"bases": 3},
    "prune": {"structure": "unit", "sparsity": 0.3},
    "prune_offline": {"sparsity": 0.3},
    "regularize": {"regularizer": "hoyer_square"},
    "share_bits": {"bits": 3.0},
    "skip_updates": {"cost": 0.5},
    "svd_training": {"rank": 8},
    "tprune": {"sparsity": 0.3},
    "uniform_channels": {"sparsity": 0.3},
    "unify": {"unified": 0.5},
}
# What has to come before.
BEFORE = {"escalate": "penni", "svd_training": "low_rank"}
# The one that takes a file has tests of its own.
EVERY = {
    str(*kind.model_fields["do"].annotation.__args__): kind
    for kind in METHODS
    if kind is not StartFrom
}


def method(do: str) -> Method:
    """With settings for the networks here."""
    return EVERY[do].model_validate({"do": do} | SETTINGS.get(do, {}))


def with_needed(do: str) -> list[Method]:
    """The method behind what it needs."""
    return [method(name) for name in (BEFORE.get(do), do) if name is not None]


def network_for(methods: Sequence[Method]) -> NetworkSettings | None:
    """The first network that the methods can be applied to, one after the other."""
    for settings in NETWORKS:
        graph = settings.define().folded()
        try:
            for place, one in enumerate(methods):
                one.check(graph, methods[:place])
        except InputError as error:
            assert "\n" not in str(error)
            continue
        return settings
    return None


def start(settings: NetworkSettings) -> Trained:
    """The network in integers, its weights at random."""
    return in_integers(trained_looking(untrained(settings, front_end(32), 1), 1), 1)
