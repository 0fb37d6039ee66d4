"""Reference kernels of TFLite and TFLite Micro: what the uncompiled model computes.

Both need their runtime, which is imported when one is opened. They agree but for a few operators
in which the NPU follows TFLite Micro; docs/ethosu.md lists them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from ethosu.vela.tflite.Model import Model
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_MICRO_ARENA_BYTES = 1 << 24


class Golden(Protocol):
    """Runs the uncompiled model; `inputs` and `outputs` are its tensor names, in order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """One inference: quantized inputs by tensor name to quantized outputs by name."""
        ...


class TfliteGolden:
    """TFLite's reference kernels, from the tensorflow package.

    Args:
        model: the bytes of an uncompiled `.tflite`.

    Raises:
        ValueError, RuntimeError: TFLite cannot run it.
    """

    def __init__(self, model: bytes) -> None:
        import tensorflow as tf

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._interpreter = tf.lite.Interpreter(
                model_content=model,
                num_threads=1,
                experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
            )
        self._interpreter.allocate_tensors()
        self.inputs = tuple(d["name"] for d in self._interpreter.get_input_details())
        self.outputs = tuple(d["name"] for d in self._interpreter.get_output_details())

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Golden.invoke`."""
        interpreter = self._interpreter
        for detail in interpreter.get_input_details():
            values = inputs[detail["name"]].reshape(detail["shape"])
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        details = interpreter.get_output_details()
        return {d["name"]: interpreter.get_tensor(d["index"]) for d in details}


class MicroGolden:
    """TFLite Micro's reference kernels, from the tflite-micro package.

    Args:
        model: the bytes of an uncompiled `.tflite`.

    Raises:
        ValueError: TFLite Micro lacks an operator, or needs more than 16 MiB of arena.
    """

    def __init__(self, model: bytes) -> None:
        from tflite_micro.python.tflite_micro import runtime

        contents = Model.GetRootAs(model, 0)
        if contents.SubgraphsLength() != 1:
            raise ValueError(f"golden model has {contents.SubgraphsLength()} subgraphs, expected 1")
        graph = contents.Subgraphs(0)
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


def _names(graph: Any, indices: NDArray[np.int32]) -> tuple[str, ...]:
    return tuple(graph.Tensors(int(index)).Name().decode() for index in indices)


GOLDENS: dict[str, type[TfliteGolden | MicroGolden]] = {
    "tflite": TfliteGolden,
    "tflm": MicroGolden,
}
