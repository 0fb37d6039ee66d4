"""SUM and NEG by definition, for operators that no reference kernel computes as the NPU does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from ethosu.vela.tflite.Model import Model
from numpy.typing import NDArray

from pipeline.ethosu.golden import Arrays


class ExactArithmetic:
    """A graph of one SUM or NEG: the real result, rounded to the nearest step, ties upwards."""

    def __init__(self, model: bytes) -> None:
        interpreter = tf.lite.Interpreter(model_content=model)
        interpreter.allocate_tensors()
        (self._input,) = interpreter.get_input_details()
        (self._output,) = interpreter.get_output_details()
        self.inputs, self.outputs = (self._input["name"],), (self._output["name"],)
        operator = Model.GetRootAs(model, 0).Subgraphs(0).Operators(0)
        self._axes: tuple[int, ...] | None = None
        if operator.InputsLength() == 2:  # SUM, whose second input names its axes
            self._axes = tuple(interpreter.get_tensor(operator.Inputs(1)))

    def invoke(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `pipeline.ethosu.golden.Golden.invoke`."""
        scale, zero_point = self._input["quantization"]
        out_scale, out_zero_point = self._output["quantization"]
        values = inputs[self._input["name"]].astype(np.int64) - zero_point
        result = -values if self._axes is None else values.sum(axis=self._axes, keepdims=True)
        steps = np.floor(result * (scale / out_scale) + 0.5) + out_zero_point
        limits = np.iinfo(self._output["dtype"])
        stored = np.clip(steps, limits.min, limits.max).astype(self._output["dtype"])
        return {self._output["name"]: stored}
