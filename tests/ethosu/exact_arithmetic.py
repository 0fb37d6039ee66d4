"""SUM and NEG by definition, for operators that no reference kernel computes as the NPU does."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.ethosu.golden import Arrays


class ExactArithmetic:
    """A graph of one SUM or NEG: the real result, rounded to the nearest step, ties upwards."""

    def __init__(self, model: bytes) -> None:
        interpreter = tf.lite.Interpreter(model_content=model)
        (self._input,) = interpreter.get_input_details()
        (self._output,) = interpreter.get_output_details()

    def invoke(self, inputs: Arrays) -> Arrays:
        """See `pipeline.ethosu.golden.Golden.invoke`."""
        scale, zero_point = self._input["quantization"]
        out_scale, out_zero_point = self._output["quantization"]
        shapes = zip(self._input["shape"], self._output["shape"], strict=True)
        axes = tuple(axis for axis, (before, after) in enumerate(shapes) if before != after)
        values = inputs[self._input["name"]].astype(np.int64) - zero_point
        result = values.sum(axis=axes, keepdims=True) if axes else -values
        steps = np.floor(result * (scale / out_scale) + 0.5) + out_zero_point
        limits = np.iinfo(self._output["dtype"])
        stored = np.clip(steps, limits.min, limits.max).astype(self._output["dtype"])
        return {self._output["name"]: stored}
