"""Tools for Arm's Ethos-U55 NPU: command-stream decoder, bit-exact emulator, cost model.

Usable on its own; nothing here knows about speech or about the rest of the pipeline.
"""

from __future__ import annotations

from .cost import Counters, OperationCost, ProgramCost
from .emulator import Emulator
from .errors import AddressError, CpuOperatorError, EthosUError, ModelError, StreamError
from .hazards import Hazard
from .job import Memory, NpuConfig, execute_stream
from .memory_system import MemorySystem, MemoryTiming, memory_system
from .model import TensorSpec, VelaModel, load_vela_model

__all__ = [
    "AddressError",
    "Counters",
    "CpuOperatorError",
    "Emulator",
    "EthosUError",
    "Hazard",
    "Memory",
    "MemorySystem",
    "MemoryTiming",
    "ModelError",
    "NpuConfig",
    "OperationCost",
    "ProgramCost",
    "StreamError",
    "TensorSpec",
    "VelaModel",
    "execute_stream",
    "load_vela_model",
    "memory_system",
]
