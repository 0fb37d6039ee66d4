"""Scoring under other conditions: what is changed, and what of it a front end undoes."""

import argparse
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.corpora.audio import active_level_dbfs
from pipeline.corpora.testset import Mixture
from pipeline.dsp import FrontEnd, StreamingEnhancer
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.quantization import FLOAT
from pipeline.tools.conditions import CONDITIONS, Condition, scenes, scores
from pipeline.tools.enhance import open_model
from tests.small_networks import network

SAMPLES = 32_000


@pytest.fixture
def mixtures() -> list[Mixture]:
    rng = np.random.default_rng(3)
    made = []
    for number in range(2):
        bursts = np.repeat(rng.uniform(0, 1, 16) > 0.4, SAMPLES // 16)
        clean = (0.1 * bursts * rng.standard_normal(SAMPLES)).astype(np.float32)
        noise = (0.05 * rng.standard_normal(SAMPLES)).astype(np.float32)
        made.append(Mixture(f"m{number}", clean + noise, clean, 6.0, "ambience"))
    return made


def test_conditions_do_what_they_say(mixtures: list[Mixture]) -> None:
    for condition in CONDITIONS:
        changed = condition.apply(mixtures[0])
        assert active_level_dbfs(changed.clean) == pytest.approx(condition.level_dbfs, abs=0.01)
        steps = changed.noisy * 32768
        np.testing.assert_array_equal(steps, np.rint(steps))
        assert steps.min() >= -32768 and steps.max() <= 32767
    plain = Condition("plain").apply(mixtures[0])
    disturbed = Condition("offset", offset=0.1).apply(mixtures[0])
    np.testing.assert_allclose(disturbed.noisy - plain.noisy, 0.1, atol=4e-5)
    alone = Condition("alone", with_noise=False).apply(mixtures[0])
    np.testing.assert_allclose(alone.noisy, alone.clean, atol=2e-5)
    loud = Condition("loud", level_dbfs=-3.0).apply(mixtures[0])
    assert np.mean(np.abs(loud.noisy) > 0.9999) > 0.05


@pytest.mark.parametrize("conditioned", [True, False])
def test_a_conditioned_model_scores_alike_at_every_level(
    mixtures: list[Mixture], conditioned: bool
) -> None:
    """The mask is a function of the features, as a network's is: open where they are large."""
    front_end = FrontEnd(np.full(32, 0.9, np.float32), np.full(32, 0.4, np.float32), conditioned)

    def start() -> StreamingEnhancer:
        return StreamingEnhancer(front_end, lambda x: 1 / (1 + np.exp(np.float32(-8) * x)))

    results = scores(start, mixtures, [c for c in CONDITIONS if "-" in c.name and "dB" in c.name])
    by_level = {r.name: r.summary.overall["si_sdri_db"].mean for r in results}
    quiet = [by_level[f"{level} dBFS"] for level in (-46, -36, -26)]
    assert bool(np.ptp(quiet) < 0.05) is conditioned
    assert bool(abs(by_level["-10 dBFS"] - by_level["-26 dBFS"]) < 0.1) is conditioned


def test_a_weight_file_is_scored_at_once_and_in_blocks_alike(
    mixtures: list[Mixture], tmp_path: Path
) -> None:
    front_end = FrontEnd(np.full(16, 0.9, np.float32), np.full(16, 0.4, np.float32), True)
    small = network(TinyLSTMs(bands=16, lstm_units=(8,), dense_units=8), FLOAT)
    dataclasses.replace(small, front_end=front_end).save(tmp_path / "w.safetensors")
    start: Callable[[], StreamingEnhancer]
    through, start = open_model(  # type: ignore[assignment]
        str(tmp_path / "w.safetensors"), "tflite", argparse.Namespace(), tmp_path
    )
    assert through == "float"
    (result,) = scores(start, mixtures, [Condition("offset", offset=0.2)])
    assert [row.clip for row in result.rows] == ["m0", "m1"]
    assert np.isfinite(result.summary.overall["si_sdr_db"].mean)


def test_a_stream_that_goes_on_is_enhanced_as_one(mixtures: list[Mixture]) -> None:
    def louder_by_the_second(signal: np.ndarray) -> np.ndarray:
        return signal * (1 + np.arange(signal.size, dtype=np.float32) / 16_000)

    scene = scenes(louder_by_the_second, mixtures)
    for number, mixture in enumerate(mixtures):
        expected = mixture.noisy * (1 + number * SAMPLES / 16_000 + np.arange(SAMPLES) / 16_000)
        np.testing.assert_allclose(scene(mixture), expected, rtol=1e-5)


def test_only_a_stream_that_goes_on_carries_memory_over(mixtures: list[Mixture]) -> None:
    """An enhancer that lets everything pass for 3 s, and nothing after them."""
    front_end = FrontEnd(np.full(32, 0.9, np.float32), np.full(32, 0.4, np.float32))

    def start() -> StreamingEnhancer:
        hops = itertools.count()

        def mask(features: np.ndarray) -> np.ndarray:
            open_hops = [float(next(hops) < 188) for _ in features]
            return np.outer(open_hops, np.ones(32)).astype(np.float32)

        return StreamingEnhancer(front_end, mask)

    cases = [Condition("alone"), Condition("going on", one_stream=True)]
    alone, going_on = (
        [row.scores.si_sdr_db for row in r.rows] for r in scores(start, mixtures, cases)
    )
    assert alone[0] == pytest.approx(going_on[0], abs=0.1)
    assert alone[1] > going_on[1] + 3
