"""A user's own Keras model as a network of the configuration."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.networks.graph import HopGraph
from pipeline.networks.keras_import import Imported, KerasImportError, from_keras, load_keras
from pipeline.networks.settings import NetworkSettings


class KerasNetwork(NetworkSettings):
    """Taken over by `pipeline.networks.keras_import`; its weights are what training starts from."""

    network: Literal["keras"]
    """Which network."""
    path: str
    """A ``.keras`` or ``.h5`` file, or ``module:function`` that returns a model."""

    @property
    def place(self) -> str:
        """Where the model comes from."""
        return self.path

    def define(self) -> HopGraph:
        """The graph of one hop.

        Raises:
            KerasImportError: there is no such model, it cannot stream, or has other bands.
        """
        return self._imported(seed=0).graph

    def initial(self, graph: HopGraph, seed: int) -> dict[str, NDArray[np.float32]]:
        """The model's weights; what it draws itself it draws from `seed`."""
        return self._imported(seed).arrays

    def _imported(self, seed: int) -> Imported:
        from pipeline.keras import tf_keras

        tf_keras.utils.set_random_seed(seed)
        # Layers without names of their own are numbered; every building counts from the start.
        tf_keras.backend.reset_uids()
        imported = from_keras(load_keras(self.path))
        bands = imported.graph.features.channels
        if bands != self.bands:
            raise KerasImportError(
                f"{self.path}: the model reads {bands} bands; set model.bands to that number "
                f"(it is {self.bands})"
            )
        return imported
