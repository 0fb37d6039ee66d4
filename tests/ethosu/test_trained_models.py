"""A sample of what `python tests/ethosu/prove_models.py` shows on every model at length."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from prove_models import noisy_speech, prove

from pipeline.runners.tflite import TfliteRunner

MODELS = sorted((Path(__file__).parents[2] / "tflite_models").glob("*.tflite"))
HOPS = 100


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_stream_on_real_audio_equals_tflite_in_every_byte(model: Path) -> None:
    reference = TfliteRunner(model)
    hop_bytes = sum(math.prod(output.shape) for output in reference.outputs.values())
    proof = prove(model, macs=128, reference=reference, noisy=noisy_speech(HOPS))
    assert proof.hops == HOPS
    assert proof.output_bytes == HOPS * hop_bytes
    assert proof.mismatching_bytes == 0
