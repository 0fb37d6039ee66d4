"""What the settings of every network have in common."""

import importlib.util
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from pipeline.networks.graph import HopGraph

Positive = Annotated[int, Field(gt=0)]


class ModelSettings(BaseModel):
    """What a run is about."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @property
    def place(self) -> str:
        """A file, or ``module:function``, that the model comes from; empty: from settings alone."""
        return ""

    @property
    def source(self) -> Path | None:
        """The file whose content decides the model, if there is one."""
        module, colon, _ = self.place.partition(":")
        if not colon:
            return Path(self.place) if self.place else None
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            return None
        return Path(found.origin) if found and found.origin else None


class NetworkSettings(ModelSettings):
    """Sizes of a network, which define it."""

    bands: Annotated[int, Field(ge=8, le=257)] = 128
    """Mel bands: width of input and output."""

    def define(self) -> HopGraph:
        """The graph of one hop."""
        raise NotImplementedError

    def initial(self, graph: HopGraph, seed: int) -> dict[str, NDArray[np.float32]]:
        """Kernels to start training from, and biases that are not zero."""
        raise NotImplementedError


def glorot_uniform(graph: HopGraph, seed: int) -> dict[str, NDArray[np.float32]]:
    """Kernels of every matrix (Glorot & Bengio, 2010)."""
    random = np.random.default_rng(seed)
    arrays = {}
    for matrix, (rows, columns) in graph.matrices().items():
        limit = np.sqrt(6.0 / (rows + columns))
        kernel = random.uniform(-limit, limit, (rows, columns))
        arrays[f"{matrix}/kernel"] = kernel.astype(np.float32)
    return arrays
