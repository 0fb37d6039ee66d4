"""TFLite (LiteRT, as it is called now) as a target, with its reference or its optimized kernels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pipeline.runners import Array, TargetError, TensorSpec, check_inputs

Kernels = Literal["reference", "optimized"]


class TfliteRunner:
    """Runs a one-hop model on one core.

    The reference kernels define the model's integers; the optimized ones differ in some of them.
    """

    def __init__(self, model: Path | bytes, kernels: Kernels = "reference") -> None:
        """Load a `.tflite` file or its bytes.

        Raises:
            TargetError: unknown kernels, or a model TFLite cannot run.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        if kernels not in get_args(Kernels):
            raise TargetError(f"kernels {kernels!r}; expected one of {get_args(Kernels)}")
        content = model.read_bytes() if isinstance(model, Path) else model
        try:
            self._interpreter = Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF
                if kernels == "reference"
                else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise TargetError(
                f"TFLite cannot run {model if isinstance(model, Path) else 'the model'}: {error}"
            ) from error
        self._input_index, self.inputs = _tensors(self._interpreter.get_input_details())
        self._output_index, self.outputs = _tensors(self._interpreter.get_output_details())

    def step(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One hop; see `Runner.step`."""
        check_inputs(self.inputs, inputs)
        for name, index in self._input_index.items():
            self._interpreter.set_tensor(index, inputs[name])
        self._interpreter.invoke()
        return {n: self._interpreter.get_tensor(i) for n, i in self._output_index.items()}


def _tensors(details: list[dict[str, Any]]) -> tuple[dict[str, int], dict[str, TensorSpec]]:
    indices, specs = {}, {}
    for detail in details:
        name, (scale, zero_point) = detail["name"], detail["quantization"]
        if not np.issubdtype(detail["dtype"], np.integer) or not scale:
            raise TargetError(f"tensor {name!r} is {detail['dtype'].__name__}; expected quantized")
        indices[name] = detail["index"]
        shape = tuple(int(size) for size in detail["shape"])
        specs[name] = TensorSpec(name, shape, np.dtype(detail["dtype"]), scale, zero_point)
    return indices, specs
