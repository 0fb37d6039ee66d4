"""Networks and models as what they are for: mixture in, enhanced speech out."""

from pathlib import Path

from pipeline.deployed import Deployed
from pipeline.dsp import FrontEnd, enhance
from pipeline.errors import InputError
from pipeline.metrics.peers import Enhancer
from pipeline.networks.trained import Trained
from pipeline.quantization import FLOAT
from pipeline.runners import HopModel, Runner, stream


def streamed(runner: Runner, front_end: FrontEnd) -> Enhancer:
    """Enhancement through a one-hop integer model, its state fed back from hop to hop."""
    mask = runner.outputs[HopModel.of(runner).mask]
    return lambda mixture: enhance(
        mixture.noisy,
        front_end,
        lambda features: mask.dequantize(stream(runner, features)),
    )


def deployed_enhancer(tflite: Path) -> Enhancer:
    """Enhancement through a file and the front end on the card beside it.

    Raises:
        InputError: there is no such file.
        TargetError: it is no TFLite file, or nothing beside it says what its front end is.
    """
    from pipeline.runners.tflite import TfliteRunner

    if not tflite.is_file():
        raise InputError(f"{tflite}: no such file; expected a .tflite model with its card")
    front_end = Deployed.load(tflite).front_end
    return streamed(TfliteRunner(tflite), front_end)


def in_float(trained: Trained) -> Enhancer:
    """Enhancement through the Keras network in floating point."""
    from pipeline.keras import tf

    # Retracing is reduced as mixtures of paired corpora have many lengths.
    network = tf.function(trained.build(FLOAT), reduce_retracing=True)
    return lambda mixture: enhance(
        mixture.noisy,
        trained.front_end,
        lambda features: network(features[None]).numpy()[0],
    )
