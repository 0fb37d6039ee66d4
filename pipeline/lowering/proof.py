"""Evidence that an integer model computes what was trained, over real audio."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.testset import Mixture
from pipeline.deployed import IntegerDifference, MaskDifference, Proof
from pipeline.dsp import HOP_SAMPLES, analyse, enhance
from pipeline.dsp.stft import whole_hops
from pipeline.keras import tf
from pipeline.lowering.tflite import integer_matrix
from pipeline.metrics.quality import si_sdr_db
from pipeline.networks.trained import Trained
from pipeline.runners import HopModel, HopStream, Runner, stream
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner
from pipeline.training.model import SequenceModel

Array = NDArray[np.float32]
# What lies this far below the loudest hop of a recording is a pause.
PAUSE_DB = 40.0


def prove(trained: Trained, model: bytes, mixtures: Sequence[Mixture], frames: int) -> Proof:
    """Compare training, TFLite and TFLite Micro on at least ``frames`` streamed frames.

    Args:
        trained: the network.
        model: the TFLite file made from them.
        mixtures: real audio; the first few are used.
        frames: frames to compare.

    Raises:
        ValueError: the int8 weights to store are not the ones training saw.
    """
    network = trained.build()
    _check_weights(trained, network)
    tflite, tflm = TfliteRunner(model), TflmRunner(model)
    sequence = tf.function(network, reduce_retracing=True)
    differences: list[Array] = []
    keras_db: list[float] = []
    tflite_db: list[float] = []
    computed: list[NDArray[np.bool_]] = []
    spoken: list[NDArray[np.bool_]] = []
    values = mismatching = worst_lsb = compared = 0
    for mixture in mixtures:
        if compared >= frames:
            break
        _, features = analyse(mixture.noisy, trained.front_end)
        compared += len(features)
        keras_mask = sequence(features[None]).numpy()[0]
        hops = HopStream(tflite)
        stored = hops(features)
        computed.append(np.array(hops.computed))
        spoken.append(speaks(mixture.clean)[: len(features)])
        tflite_mask = _real_mask(tflite, stored)
        differences.append(np.abs(keras_mask - tflite_mask))
        keras_db.append(_si_sdr_db(mixture, trained, keras_mask))
        tflite_db.append(_si_sdr_db(mixture, trained, tflite_mask))
        step = np.abs(stored.astype(np.int32) - stream(tflm, features).astype(np.int32))
        values += step.size
        mismatching += int(np.count_nonzero(step))
        worst_lsb = max(worst_lsb, int(step.max()))
    difference = np.concatenate(differences)
    shares = _shares(np.concatenate(computed), np.concatenate(spoken))
    return Proof(
        weights_equal_training=True,
        keras_vs_tflite=MaskDifference(
            frames=compared,
            mask_mean_abs=float(difference.mean()),
            mask_worst_abs=float(difference.max()),
            si_sdr_keras_db=float(np.mean(keras_db)),
            si_sdr_tflite_db=float(np.mean(tflite_db)),
        ),
        tflite_vs_tflm=IntegerDifference(
            values=values, mismatching=mismatching, worst_lsb=worst_lsb
        ),
        tflm_arena_bytes=tflm.arena_used_bytes(),
        **shares,
    )


def speaks(clean: Array) -> NDArray[np.bool_]:
    """Hops of clean speech less than `PAUSE_DB` below its loudest."""
    energy = np.square(whole_hops(clean).reshape(-1, HOP_SAMPLES)).sum(axis=-1)
    loud: NDArray[np.bool_] = energy > energy.max() / 10 ** (PAUSE_DB / 10)
    return loud


def _shares(computed: NDArray[np.bool_], spoken: NDArray[np.bool_]) -> dict[str, float]:
    """Of the hops computed: of all, while somebody speaks, and in pauses if there are any."""
    kinds = {"share": np.ones_like(spoken), "in_speech": spoken, "in_pauses": ~spoken}
    return {f"computed_{k}": float(computed[of].mean()) for k, of in kinds.items() if of.any()}


def _si_sdr_db(mixture: Mixture, trained: Trained, mask: Array) -> float:
    enhanced = enhance(mixture.noisy, trained.front_end, lambda _: mask)
    return si_sdr_db(mixture.clean, enhanced)


def _real_mask(runner: Runner, stored: NDArray[np.integer]) -> Array:
    """Stored mask integers -> float32 mask."""
    return runner.outputs[HopModel.of(runner).mask].dequantize(stored)


def _check_weights(trained: Trained, network: SequenceModel) -> None:
    """Every stored integer times its scale must be the weight training multiplied by."""
    for matrix in network.matrices:
        stored = integer_matrix(trained, matrix.name)
        differing = stored.weights.T * np.float32(stored.scale) != matrix.value().numpy()
        if differing.any():
            raise ValueError(
                f"matrix {matrix.name!r}: {np.count_nonzero(differing)} of {differing.size} int8 "
                "weights to store differ from those training multiplied by"
            )
