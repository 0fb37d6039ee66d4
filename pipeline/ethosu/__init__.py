"""Tools for Arm's Ethos-U55 NPU: command-stream decoder, bit-exact emulator, cost model.

Usable on its own; nothing here knows about speech or about the rest of the pipeline.
"""

from __future__ import annotations

from .emulator import Emulator
from .errors import AddressError, CpuOperatorError, EthosUError, ModelError, StreamError
from .model import TensorSpec, VelaModel, load_vela_model

__all__ = [
    "AddressError",
    "CpuOperatorError",
    "Emulator",
    "EthosUError",
    "ModelError",
    "StreamError",
    "TensorSpec",
    "VelaModel",
    "load_vela_model",
]
