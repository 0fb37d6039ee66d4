"""Reference kernels of TFLite and TFLite Micro: what the uncompiled model computes.

Both need their runtime, which is imported when one is opened. They agree but for a few operators
in which the NPU follows TFLite Micro; docs/ethosu.md lists them. Both run in this process, which
they can end: on models from elsewhere use `golden_process`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from ethosu.vela.tflite.Model import Model
from numpy.typing import NDArray

from .model import unique_names

Arrays = dict[str, NDArray[Any]]

_MICRO_ARENA_BYTES = 1 << 24


class Golden(Protocol):
    """Runs the uncompiled model; `inputs` and `outputs` are its tensor names, in order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """One inference: quantized inputs by tensor name to quantized outputs by name."""
        ...

    def reset(self) -> None:
        """Puts variable tensors to their zero point."""
        ...


class TfliteGolden:
    """TFLite's reference kernels, from LiteRT, as TFLite is called now.

    Args:
        model: the bytes of an uncompiled `.tflite`.

    Raises:
        ValueError, RuntimeError: TFLite cannot run it.
    """

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=model,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
        self._interpreter.allocate_tensors()
        self.inputs = unique_names(d["name"] for d in self._interpreter.get_input_details())
        self.outputs = unique_names(d["name"] for d in self._interpreter.get_output_details())

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Golden.invoke`."""
        interpreter = self._interpreter
        for name, detail in zip(self.inputs, interpreter.get_input_details(), strict=True):
            values = inputs[name].reshape(detail["shape"])
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        details = zip(self.outputs, interpreter.get_output_details(), strict=True)
        return {name: interpreter.get_tensor(detail["index"]) for name, detail in details}

    def reset(self) -> None:
        """See `Golden.reset`."""
        self._interpreter.reset_all_variables()


class MicroGolden:
    """TFLite Micro's reference kernels, from the tflite-micro package.

    Args:
        model: the bytes of an uncompiled `.tflite`.

    Raises:
        ValueError: TFLite Micro lacks an operator, or needs more than 16 MiB of arena.
    """

    def __init__(self, model: bytes) -> None:
        from tflite_micro.python.tflite_micro import runtime

        graph = Model.GetRootAs(model, 0).Subgraphs(0)
        self.inputs = _names(graph, graph.InputsAsNumpy())
        self.outputs = _names(graph, graph.OutputsAsNumpy())
        try:
            self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=_MICRO_ARENA_BYTES)
        except RuntimeError as error:
            raise ValueError(f"TFLite Micro cannot run the model: {error}") from error

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Golden.invoke`."""
        for index, name in enumerate(self.inputs):
            shape = self._interpreter.get_input_details(index)["shape"]
            self._interpreter.set_input(inputs[name].reshape(shape), index)
        self._interpreter.invoke()
        return {n: self._interpreter.get_output(i) for i, n in enumerate(self.outputs)}

    def reset(self) -> None:
        """See `Golden.reset`."""
        self._interpreter.reset()


def _names(graph: Any, indices: NDArray[np.int32]) -> tuple[str, ...]:
    names = (graph.Tensors(int(index)).Name() or b"" for index in np.atleast_1d(indices))
    return unique_names(name.decode(errors="replace") for name in names)


GOLDENS: dict[str, type[TfliteGolden | MicroGolden]] = {
    "tflite": TfliteGolden,
    "tflm": MicroGolden,
}
