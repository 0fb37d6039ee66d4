"""The Ethos-U55 emulator as a target: runs Vela's command stream, not the TFLite graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.ethosu import Emulator, load_vela_model
from pipeline.ethosu.model import TensorSpec as NpuTensor
from pipeline.runners import Array, TensorSpec, check_inputs


class EmulatorRunner:
    """Runs a model compiled by Vela; see `pipeline.runners.Runner`."""

    def __init__(self, compiled: Path | bytes) -> None:
        """Load a fully mapped ``*_vela.tflite`` file or its bytes.

        Raises:
            EthosUError: the file is damaged, or leaves operators to the CPU.
        """
        model = load_vela_model(compiled)
        self._emulator = Emulator(model)
        self.inputs = {tensor.name: _spec(tensor) for tensor in model.inputs}
        self.outputs = {tensor.name: _spec(tensor) for tensor in model.outputs}

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One hop; see `Runner.step`."""
        check_inputs(self.inputs, inputs)
        return self._emulator.invoke(inputs)


def _spec(tensor: NpuTensor) -> TensorSpec:
    return TensorSpec(tensor.name, tensor.shape, tensor.dtype, tensor.scale, tensor.zero_point)
