"""A deployed graph -> the weights it was made from."""

import itertools
import re

import numpy as np

from pipeline.config import Model
from pipeline.dsp import FrontEnd
from pipeline.errors import InputError
from pipeline.models.masknet import MaskNet
from pipeline.models.weights import Weights
from pipeline.quantization import INT8, INT16

# Constants carry their matrix and the first output and input they hold, see `window_suffix`.
PLACE = re.compile(
    r"(?P<matrix>\w+)_(?P<part>weights|bias)\[(?P<out_begin>\d+),(?P<in_begin>\d+)\]"
)
RELU_STEPS = {np.dtype(np.int8): 255, np.dtype(np.int16): 32767}


def read_step_graph(model: bytes, front_end: FrontEnd) -> Weights:
    """Recover trained weights from a file of `build_step_graph`, exact in every stored integer.

    Args:
        model: the TFLite file.
        front_end: it was trained with.

    Returns:
        Weights whose kernels lie on their int8 grids and whose masks are the non-zero weights;
        `build_step_graph` makes the same integers from them again.

    Raises:
        InputError: the file is not such a graph.
    """
    import tensorflow as tf

    try:
        interpreter = tf.lite.Interpreter(model_content=model)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"not a readable TFLite model: {error}") from error
    details = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
    if "dense_relu" not in details or "features" not in details:
        raise InputError("the TFLite model was not written by this pipeline's convert stage")

    def width(tensor: str) -> int:
        return int(details[tensor]["shape"][-1])

    states = list(itertools.takewhile(lambda k: f"h{k}" in details, itertools.count(1)))
    reduced = [f"lstm{k}_reduced" for k in states]
    sizes = Model(
        bands=width("features"),
        lstm_units=tuple(width(f"h{k}") for k in states),
        dense_units=width("dense_relu"),
        lstm_ranks=tuple(width(name) if name in details else 0 for name in reduced),
    )
    arrays = {name: np.zeros_like(array) for name, array in MaskNet(sizes).get_arrays().items()}
    for name, detail in details.items():
        if not (place := PLACE.fullmatch(name)):
            continue
        out_begin, in_begin = int(place["out_begin"]), int(place["in_begin"])
        stored = interpreter.get_tensor(detail["index"])
        values = (stored.T * np.float64(detail["quantization"][0])).astype(np.float32)
        outputs = slice(out_begin, out_begin + values.shape[-1])
        if place["part"] == "bias":
            arrays[f"{place['matrix']}/bias"][outputs] = values
        else:
            inputs = slice(in_begin, in_begin + values.shape[0])
            arrays[f"{place['matrix']}/kernel"][inputs, outputs] = values
            arrays[f"{place['matrix']}/mask"][inputs, outputs] = values != 0
    relu = details["dense_relu"]
    scheme = INT8 if details["features"]["dtype"] == np.int8 else INT16
    maximum = relu["quantization"][0] * RELU_STEPS[np.dtype(relu["dtype"])]
    weights = Weights(sizes, front_end, arrays, scheme, float(maximum))
    weights.build()
    return weights
