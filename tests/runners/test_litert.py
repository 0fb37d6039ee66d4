"""LiteRT took the place of TensorFlow's own interpreter: the same bytes come out of both."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from pipeline.keras import tf
from pipeline.runners.tflite import Kernels, TfliteRunner

MODELS = sorted(Path("tflite_models").glob("*.tflite"))
HOPS = 20


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kernels", get_args(Kernels))
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_shipped_models_compute_the_same_as_in_tensorflow(path: Path, kernels: Kernels) -> None:
    resolvers = tf.lite.experimental.OpResolverType
    before = tf.lite.Interpreter(
        str(path),
        num_threads=1,
        experimental_op_resolver_type=resolvers.BUILTIN_REF
        if kernels == "reference"
        else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    before.allocate_tensors()
    runner = TfliteRunner(path, kernels)
    random = np.random.default_rng(0)
    for _ in range(HOPS):
        inputs = {}
        for detail in before.get_input_details():
            limits = np.iinfo(detail["dtype"])
            values = random.integers(limits.min, limits.max + 1, detail["shape"])
            inputs[detail["name"]] = values.astype(detail["dtype"])
            before.set_tensor(detail["index"], inputs[detail["name"]])
        before.invoke()
        outputs = runner.step(inputs)
        for detail in before.get_output_details():
            np.testing.assert_array_equal(
                outputs[detail["name"]], before.get_tensor(detail["index"])
            )
