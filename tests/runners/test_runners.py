"""All runners compute one thing, hop by hop, and refuse what is not theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hop_model import FEATURES, UNITS, expected_masks, hop_model

from pipeline.lowering.flatbuffer import Graph
from pipeline.runners import HopStream, Runner, TargetError, TensorSpec, stream
from pipeline.runners.tflite import TfliteRunner
from pipeline.runners.tflm import TflmRunner

RUNNERS = {
    "reference": TfliteRunner,
    "optimized": lambda model: TfliteRunner(model, "optimized"),
    "tflm": TflmRunner,
}
runners = pytest.mark.parametrize("open_runner", RUNNERS.values(), ids=RUNNERS.keys())


def stored_features(hops: int) -> np.ndarray:
    return np.random.default_rng(2).integers(-128, 128, (hops, FEATURES)).astype(np.int8)


def test_stream_equals_plain_arithmetic() -> None:
    features = stored_features(hops=500)
    expected = expected_masks(features)
    assert len(np.unique(expected)) > 30
    np.testing.assert_array_equal(stream(TfliteRunner(hop_model()), features), expected)


@pytest.mark.parametrize("kind", ["optimized", "tflm"])
def test_other_kernels_stay_within_two_steps_of_the_reference(kind: str) -> None:
    features = stored_features(hops=500)
    difference = stream(RUNNERS[kind](hop_model()), features).astype(int) - expected_masks(features)
    assert np.abs(difference).max() <= 2
    assert (difference != 0).mean() < 0.1


@runners
def test_every_runner_describes_the_model_the_same_way(
    open_runner: Callable[[bytes], Runner],
) -> None:
    runner = open_runner(hop_model())
    assert list(runner.inputs) == ["features", "h"]
    assert list(runner.outputs) == ["h_next", "mask"]
    assert runner.inputs["h"] == TensorSpec("h", (1, UNITS), np.dtype(np.int8), 1 / 128, 0)
    assert runner.outputs["mask"].zero_point == -128


@runners
def test_steps_keep_no_state_and_stream_starts_from_zero(
    open_runner: Callable[[bytes], Runner],
) -> None:
    runner = open_runner(hop_model())
    features = stored_features(hops=5)
    once = stream(runner, features)
    np.testing.assert_array_equal(stream(runner, features), once)
    # The state matters: the last hop alone answers differently.
    assert (stream(runner, features[4:]) != once[4:]).any()


def test_real_features_are_quantized_as_the_model_says(tmp_path: Path) -> None:
    path = tmp_path / "hop.tflite"
    path.write_bytes(hop_model())
    runner = TfliteRunner(path)
    stored = stored_features(hops=20)
    real = runner.inputs["features"].dequantize(stored)
    np.testing.assert_array_equal(stream(runner, real), stream(runner, stored))


def test_spec_quantizes_to_nearest_and_saturates() -> None:
    spec = TensorSpec("t", (5,), np.dtype(np.int8), 0.5, 10)
    values = np.array([-1e9, -0.26, 0.0, 0.24, 1e9], np.float32)
    np.testing.assert_array_equal(spec.quantize(values), [-128, 9, 10, 10, 127])
    np.testing.assert_array_equal(spec.zeros(), [10] * 5)
    assert spec.dequantize(np.array([-128], np.int8)) == -69.0


@runners
def test_wrong_inputs_are_named(open_runner: Callable[[bytes], Runner]) -> None:
    runner = open_runner(hop_model())
    h, x = np.zeros((1, UNITS), np.int8), np.zeros((1, FEATURES), np.int8)
    with pytest.raises(TargetError, match=r"\['features'\].*\['features', 'h'\]"):
        runner.step({"features": x})
    with pytest.raises(TargetError, match=r"'features' is int16\[1, 16\].*int8\[1, 16\]"):
        runner.step({"features": x.astype(np.int16), "h": h})
    with pytest.raises(TargetError, match=r"'features' is int8\[1, 15\]"):
        stream(runner, np.zeros((3, FEATURES - 1), np.int8))
    with pytest.raises(TargetError, match=r"\[0, 16\]; expected \[T, F\]"):
        stream(runner, np.zeros((0, FEATURES), np.int8))


def test_names_that_do_not_pair_states_are_refused() -> None:
    runner = TfliteRunner(hop_model(next_state="h_after"))
    with pytest.raises(TargetError, match=r"inputs \['features', 'h'\]"):
        stream(runner, stored_features(hops=1))


def test_state_that_changes_quantization_is_refused() -> None:
    graph = Graph("drift")
    x = graph.input("x", (1, 8), "int8", 1 / 64)
    h = graph.input("h", (1, 8), "int8", 1 / 64)
    graph.output(graph.add(x, h, name="h_next", scale=1 / 32))
    graph.output(graph.tanh(x, name="mask"))
    with pytest.raises(TargetError, match="'h' goes in as"):
        stream(TfliteRunner(graph.to_bytes()), np.zeros((1, 8), np.int8))


@pytest.mark.parametrize("open_runner", [TfliteRunner, TflmRunner])
def test_broken_models_are_refused(open_runner: Callable[[Path], Runner], tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(hop_model()[:200])
    with pytest.raises(TargetError, match=r"broken\.tflite"):
        open_runner(path)


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(TargetError, match=r"'fast'.*reference.*optimized"):
        TfliteRunner(hop_model(), "fast")  # type: ignore[arg-type]


def test_tflm_arena_is_exact_enough_to_run_in() -> None:
    used = TflmRunner(hop_model()).arena_used_bytes()
    features = stored_features(hops=3)
    tight = TflmRunner(hop_model(), arena_bytes=used + 1024)
    assert np.abs(stream(tight, features).astype(int) - expected_masks(features)).max() <= 2
    with pytest.raises(TargetError, match="allocate"):
        TflmRunner(hop_model(), arena_bytes=used // 2)


def delayed_model(delayed: str = "sum_ago3_1", scale: float = 1 / 64) -> bytes:
    """Sum of the features, of the sum three hops ago and of the one before, at a quarter each."""
    graph = Graph("echo")
    x = graph.input("x", (1, 4), "int8", 1 / 64)
    past = graph.input(delayed, (1, 8), "int8", scale)
    third, last = graph.split(past, names=["third", "last"])
    both = graph.add(third, last, name="both", scale=1 / 32)
    graph.output(graph.add(x, both, name="sum", scale=1 / 64))
    graph.output(graph.tanh(x, name="mask"))
    return graph.to_bytes()


def test_earlier_frames_of_an_output_are_fed_back() -> None:
    seen = []

    class Watched(TfliteRunner):
        def step(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = super().step(inputs)
            seen.append((inputs["sum_ago3_1"].copy(), outputs["sum"]))
            return outputs

    stream(Watched(delayed_model()), np.full((6, 4), 10, np.int8))
    sums = [np.zeros((1, 4), np.int8)] * 3 + [total for _, total in seen]
    for hop, (past, _) in enumerate(seen):
        np.testing.assert_array_equal(past, np.hstack([sums[hop], sums[hop + 2]]))
    assert seen[-1][1].min() > 10


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (delayed_model("nothing_ago3_1"), "'nothing' is no output"),
        (delayed_model(scale=1 / 32), "goes in as"),
    ],
)
def test_earlier_frames_that_do_not_fit_are_refused(model: bytes, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        HopStream(TfliteRunner(model))
