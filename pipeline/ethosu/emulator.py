"""The emulator: a compiled model in, its outputs out, bit for bit as the NPU computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checker import check_program
from .cost import ProgramCost, cost_program
from .errors import ModelError
from .executor import Executor
from .hazards import Hazard
from .memory import RegionMemory
from .memory_system import MemorySystem, memory_system
from .model import (
    READ_ONLY_REGION,
    SCRATCH_FAST_REGION,
    SCRATCH_REGION,
    TensorSpec,
    VelaModel,
)
from .npu import get_npu
from .program import build_program
from .stream import decode_commands


class Emulator:
    """One compiled model with its memory; weights are decoded once and kept between calls.

    Variable tensors, such as the state of a fused LSTM, are kept between calls too; they start at
    their zero point, as in TFLite and TFLite Micro, and `reset` puts them back there.

    Args:
        model: from `load_vela_model`.
        accelerator: the NPU to emulate; by default the one the model was compiled for.

    Raises:
        ModelError: the model was compiled for another configuration.
        StreamError: the command stream holds something the NPU does not define.
        AddressError: an operation reaches outside its memory region.
    """

    def __init__(self, model: VelaModel, accelerator: str | None = None) -> None:
        if accelerator is not None and accelerator != model.accelerator:
            raise ModelError(f"model was compiled for {model.accelerator}, not {accelerator}")
        self.model = model
        self.accelerator = get_npu(model.accelerator)
        self.operations = build_program(decode_commands(model.command_words))
        regions = {
            READ_ONLY_REGION: np.frombuffer(bytearray(model.read_only), np.uint8),
            SCRATCH_REGION: np.zeros(model.scratch_bytes, np.uint8),
        }
        if model.scratch_fast_bytes:
            regions[SCRATCH_FAST_REGION] = np.zeros(model.scratch_fast_bytes, np.uint8)
        self._memory = RegionMemory(regions, self.accelerator.shram_bytes)
        self._executor = Executor(self.operations, self._memory, self.accelerator)
        self._inputs = {spec.name: (spec, self._view(spec)) for spec in model.inputs}
        self._outputs = {spec.name: self._view(spec) for spec in model.outputs}
        self.reset()

    def _view(self, spec: TensorSpec) -> NDArray[Any]:
        region = self._memory.regions[spec.region]
        return (
            region[spec.offset : spec.offset + spec.size_bytes].view(spec.dtype).reshape(spec.shape)
        )

    def reset(self) -> None:
        """Puts variable tensors to their zero point: the next inference starts a new sequence."""
        for spec in self.model.variables:
            self._view(spec)[...] = spec.zero_point

    def cost(self, system: MemorySystem | None = None) -> ProgramCost:
        """Cycles, traffic and PMU events of one inference, by default with weights in flash."""
        return cost_program(self.operations, self.accelerator, system or memory_system())

    def check(self) -> list[Hazard]:
        """Hazards of the program that sequential emulation does not show."""
        return check_program(self.model, self.operations, self.accelerator)

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs one inference.

        Args:
            inputs: quantized arrays by tensor name, with the model's shapes and dtypes.

        Returns:
            Copies of the quantized outputs by tensor name.

        Raises:
            ValueError: a missing, unknown or wrongly shaped input.
        """
        if inputs.keys() != self._inputs.keys():
            raise ValueError(f"inputs {sorted(inputs)}, expected {sorted(self._inputs)}")
        for name, (spec, view) in self._inputs.items():
            values = inputs[name]
            if values.shape != spec.shape or values.dtype != spec.dtype:
                raise ValueError(
                    f"input {name} is {values.dtype}{list(values.shape)}, "
                    f"expected {spec.dtype}{list(spec.shape)}"
                )
            view[...] = values
        self._executor.run()
        return {name: view.copy() for name, view in self._outputs.items()}
