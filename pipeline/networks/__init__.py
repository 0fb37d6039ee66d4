"""Networks as values: definitions, the trained file, what stands and falls together.

A network is one module: settings whose `define` gives the graph of a hop. It is listed here and
nowhere else.
"""

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from pipeline.networks.attention import AttentionNet
from pipeline.networks.convnet import ConvNet
from pipeline.networks.keras_network import KerasNetwork
from pipeline.networks.problem import ToolkitProblem
from pipeline.networks.tinylstms import TinyLSTMs

DEFAULT_NETWORK = TinyLSTMs()


def _network(settings: Any) -> str:
    named = settings.get("network") if isinstance(settings, dict) else settings.network
    return str(named or DEFAULT_NETWORK.network)


Network = Annotated[
    Annotated[TinyLSTMs, Tag("tinylstms")]
    | Annotated[ConvNet, Tag("convnet")]
    | Annotated[AttentionNet, Tag("attention")]
    | Annotated[KerasNetwork, Tag("keras")]
    | Annotated[ToolkitProblem, Tag("tfmot")],
    Discriminator(_network),
]
