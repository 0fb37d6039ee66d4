"""Every view of a network on the same features, which must agree in every byte."""

from pathlib import Path

import numpy as np

from pipeline.ethosu import vela
from pipeline.keras import tf
from pipeline.lowering.tflite import to_tflite
from pipeline.networks.trained import Trained
from pipeline.quantization import INT8
from pipeline.quantization.calibration import in_scheme
from pipeline.runners import stream
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner

HOPS = 60


def features(seed: int, hops: int = HOPS, bands: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (2, hops, bands)).astype(np.float32)


def in_integers(trained: Trained, seed: int) -> Trained:
    return in_scheme(trained.folded(), INT8, features(seed))


def assert_all_agree(trained: Trained, folder: Path, seed: int) -> None:
    heard = features(seed, HOPS)[0]
    model = trained.build()
    sequence = model(heard[None]).numpy()[0]
    hop, memory, hops = tf.function(model.hop), model.start(), []
    for frame in heard:
        mask, memory = hop(frame[None], memory)
        hops.append(mask.numpy()[0])
    np.testing.assert_array_equal(np.stack(hops), sequence)
    memory, pieces = model.start(), []
    for begin, end in ((0, 1), (1, 4), (4, len(heard))):
        mask, memory = model.resume(heard[None, begin:end], memory)
        pieces.append(mask.numpy()[0])
    np.testing.assert_array_equal(np.concatenate(pieces), sequence)
    path = folder / "net.tflite"
    path.write_bytes(to_tflite(trained, "net"))
    runner = TfliteRunner(path)
    stored = stream(runner, heard)
    np.testing.assert_array_equal(runner.outputs["mask"].dequantize(stored), sequence)
    assert len(np.unique(stored)) > 5
    np.testing.assert_array_equal(stream(TflmRunner(path), heard), stored)
    compiled = vela.compile(path, folder)
    assert compiled.cpu_operators == ()
    np.testing.assert_array_equal(stream(EmulatorRunner(compiled.path), heard), stored)
