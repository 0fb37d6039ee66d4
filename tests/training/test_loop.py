"""The optimizer loop against the same arithmetic in NumPy, step by step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_data import BANDS, FRONT_END, Noise, network, settings

from pipeline.errors import InputError
from pipeline.keras import tf
from pipeline.training import loop
from pipeline.training.batches import Batch
from pipeline.training.loop import Settings, fit, rate_at
from pipeline.training.loss import enhancement_loss, imitation_loss
from pipeline.training.model import SequenceModel

Arrays = dict[str, np.ndarray]


def trainable(model: SequenceModel) -> list[np.ndarray]:
    return [variable.numpy().astype(np.float64) for variable in model.trainable_weights]


class Recorder:
    """What the weights are before every step, and at every validation, which it scores."""

    def __init__(self, scores: Iterator[float] | None = None) -> None:
        self.live: list[list[np.ndarray]] = []
        self.validated: list[Arrays] = []
        self._scores = scores

    def watching(self, model: SequenceModel) -> "Recorder":
        self._model = model
        return self

    def before_step(self, step: int) -> None:
        self.live.append(trainable(self._model))

    def __call__(self, model: SequenceModel) -> dict[str, float]:
        self.validated.append(model.get_arrays())
        return {"score": 0.0 if self._scores is None else next(self._scores)}


def run(work_dir: Path, recorder: Recorder, **changes: Any) -> tuple[SequenceModel, dict[str, Any]]:
    model = network()
    work_dir.mkdir(exist_ok=True)
    results = fit(
        model, Noise(), FRONT_END, settings(**changes), work_dir, recorder,
        callbacks=[recorder.watching(model)],
    )  # fmt: skip
    return model, results


def expected(
    chosen: Settings, teacher: SequenceModel | None, norms: list[float]
) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """Live weights before every step and their average at the end, by Kingma & Ba's formulas."""
    model = network()
    live = [trainable(model)]
    average = [array.copy() for array in live[0]]
    first = [np.zeros_like(array) for array in average]
    second = [np.zeros_like(array) for array in average]
    ended: dict[int, dict[str, np.ndarray]] = {}

    def masks(of: SequenceModel, features: np.ndarray, continued: np.ndarray) -> "tf.Tensor":
        """Those of crops whose continued rows begin as the crops before them ended."""
        memory = of.start(chosen.batch_size)
        for name, x in ended.get(id(of), {}).items():
            kept = [before if go_on else 0 * before for before, go_on in zip(x, continued)]
            memory[name] = tf.constant(np.stack(kept))
        made, memory = of.resume(features, memory)
        ended[id(of)] = {name: x.numpy() for name, x in memory.items()}
        return made

    for step in range(chosen.steps):
        continued = np.random.default_rng(step).random(chosen.batch_size) < 0.5
        batch = Batch.from_audio(*Noise().batch(step, chosen.batch_size), FRONT_END)
        with tf.GradientTape() as tape:
            mask = masks(model, batch.features, continued)
            loss = enhancement_loss(mask, batch, chosen.spectral_weight)
            if teacher is not None:
                imitated = imitation_loss(mask, masks(teacher, batch.features, continued), batch)
                loss += chosen.distillation_weight * imitated
        gradients = [
            np.zeros_like(a) if g is None else np.asarray(g, np.float64)
            for g, a in zip(tape.gradient(loss, model.trainable_weights), average, strict=True)
        ]
        norms.append(float(np.sqrt(sum(np.square(g).sum() for g in gradients))))
        scale = min(1.0, loop.GRADIENT_NORM_LIMIT / norms[-1])
        rate = rate_at(step, chosen) * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        decay = min(chosen.average_decay, (1 + step) / (10 + step))
        for k, variable in enumerate(model.trainable_weights):
            first[k] = 0.9 * first[k] + 0.1 * scale * gradients[k]
            second[k] = 0.999 * second[k] + 0.001 * np.square(scale * gradients[k])
            variable.assign_sub((rate * first[k] / (np.sqrt(second[k]) + 1e-7)).astype(np.float32))
            average[k] = decay * average[k] + (1 - decay) * variable.numpy()
        live.append(trainable(model))
    return live, average


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("taught", [False, True])
def test_every_step_is_adam_on_clipped_gradients_of_the_losses(
    limited: bool, taught: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = network(units=12, seed=2) if taught else None
    chosen = settings(
        steps=5, batch_size=3, validate_every=5, warmup_steps=2, average_decay=0.3,
        spectral_weight=0.7, distillation_weight=0.6 if taught else 0.0,
    )  # fmt: skip
    norms: list[float] = []
    expected(chosen, teacher, norms)
    # Half of every gradient, which Adam sees where its epsilon counts: in the smallest entries.
    limit = min(norms) / 2 if limited else 1e9
    monkeypatch.setattr(loop, "GRADIENT_NORM_LIMIT", limit)
    live, average = expected(chosen, teacher, norms)
    model, recorder = network(), Recorder()
    fit(
        model, Noise(), FRONT_END, chosen, tmp_path, recorder,
        callbacks=[recorder.watching(model)], teacher=teacher,
    )  # fmt: skip
    for step, (found, wanted) in enumerate(zip(recorder.live, live[:-1], strict=True)):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=4e-6, err_msg=f"step {step}")
    # What is validated and kept is the average, whose decay rises from 1/10 to its limit.
    for a, b in zip(trainable(model), average, strict=True):
        np.testing.assert_allclose(a, b, atol=4e-6)
    assert max(np.abs(a - b).max() for a, b in zip(average, live[-1], strict=True)) > 4e-5


def test_the_rate_rises_linearly_then_falls_along_a_cosine() -> None:
    chosen = settings(steps=104, warmup_steps=4, learning_rate=0.5)
    rates = [rate_at(step, chosen) for step in range(104)]
    assert rates[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert rates[4] == pytest.approx(0.5)
    assert rates[54] == pytest.approx(0.5 * (0.02 + 0.98 / 2))
    assert rates[103] == pytest.approx(0.5 * 0.02, rel=0.02)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_large_gradients_are_clipped_to_the_norm_that_is_published() -> None:
    assert loop.GRADIENT_NORM_LIMIT == 5.0


def test_validation_leaves_training_as_it_was(tmp_path: Path) -> None:
    often, once = Recorder(), Recorder()
    run(tmp_path / "often", often, steps=6, validate_every=1)
    run(tmp_path / "once", once, steps=6, validate_every=6)
    for a, b in zip(often.live, once.live, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)
    assert len(often.validated) == 6 and len(once.validated) == 1


def same(a: Arrays, b: Arrays) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("scores", "keep_best_from", "kept"),
    [
        ((9.0, 5.0, 7.0, 6.0), 2, 0),  # At steps 2, 4, 6 and 8.
        ((9.0, 5.0, 7.0, 6.0), 3, 2),
        ((9.0, 5.0, 7.0, 6.0), 7, 3),
        ((1.0, 2.0, 2.0, 2.0), 1, 1),
        ((-9.0, -5.0, -7.0, -6.0), 1, 1),
    ],
)
def test_the_best_validation_that_counts_is_kept(
    scores: tuple[float, ...], keep_best_from: int, kept: int, tmp_path: Path
) -> None:
    recorder = Recorder(iter(scores))
    changes = {"steps": 8, "validate_every": 2, "keep_best_from": keep_best_from}
    model, results = run(tmp_path, recorder, **changes)
    assert results["best_score"] == scores[kept]
    assert [record["score"] for record in results["history"]] == list(scores)
    assert [record["step"] for record in results["history"]] == [2, 4, 6, 8]
    chosen = [same(model.get_arrays(), validated) for validated in recorder.validated]
    assert chosen == [k == kept for k in range(4)]


@pytest.mark.parametrize(("start", "kept"), [(8.0, 0), (3.0, 2)])
def test_where_nothing_changes_the_start_counts_too(
    start: float, kept: int, tmp_path: Path
) -> None:
    recorder = Recorder(iter((start, 5.0, 7.0)))
    model, results = run(tmp_path, recorder, steps=4, validate_every=2, keep_best_from=0)
    assert same(recorder.validated[0], network().get_arrays())
    assert same(model.get_arrays(), recorder.validated[kept])
    assert results["best_score"] == max(start, 7.0)


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("killed_at", "scores"), [(5, (9.0, 5.0, 7.0, 6.0)), (2, (1.0, 2.0, 3.0, 4.0))]
)
def test_a_killed_training_ends_as_if_it_had_not_been(
    killed_at: int, scores: tuple[float, ...], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"steps": 8, "validate_every": 2}
    whole, expected_results = run(tmp_path / "whole", Recorder(iter(scores)), **changes)

    class Fatal(Recorder):
        def before_step(self, step: int) -> None:
            super().before_step(step)
            if step == killed_at:
                raise Killed

    with pytest.raises(Killed):
        run(tmp_path / "killed", Fatal(iter(scores)), **changes)
    rest = Recorder(iter(scores[killed_at // 2 :]))
    resumed, results = run(tmp_path / "killed", rest, **changes)
    assert len(rest.live) == 8 - killed_at // 2 * 2
    assert same(resumed.get_arrays(), whole.get_arrays())
    timeless = [{k: v for k, v in r.items() if k != "step_ms"} for r in (results, expected_results)]
    assert timeless[0] == timeless[1]


def test_a_loss_that_is_no_number_is_named_with_its_step(tmp_path: Path) -> None:
    class Broken(Noise):
        def batch(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
            noisy, clean = super().batch(step, batch_size)
            return noisy * (np.nan if step == 1 else 1), clean

    with pytest.raises(InputError, match="the loss of step 1 is nan; lower the learning rate"):
        fit(network(), Broken(), FRONT_END, settings(), tmp_path, Recorder())


def test_progress_is_told_after_every_step(tmp_path: Path) -> None:
    told: list[tuple[int, float | None]] = []
    fit(
        network(), Noise(), FRONT_END, settings(steps=4, validate_every=2), tmp_path, Recorder(),
        on_progress=lambda step, record: told.append((step, record.get("step"))),
    )  # fmt: skip
    assert told == [(1, None), (2, 2), (3, 2), (4, 4)]


def decibels(ratio: np.ndarray) -> float:
    return float(np.mean(10 * np.log10(ratio)))


@pytest.fixture
def mixtures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy and clean spectra of a batch, and a mask."""
    from pipeline.dsp import stft

    noisy, clean = Noise().batch(3, 4)
    x, s = stft(noisy), stft(clean)
    mask = np.random.default_rng(1).uniform(0.05, 1.0, (*x.shape[:2], BANDS)).astype(np.float32)
    return x, s, mask


def test_the_loss_is_two_error_to_signal_ratios(
    mixtures: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    from pipeline.dsp.bands import band_matrix
    from pipeline.dsp.frontend import compressed_bands

    x, s, mask = mixtures
    batch = Batch.from_audio(*Noise().batch(3, 4), FRONT_END)

    def energy(values: np.ndarray) -> np.ndarray:
        return np.square(np.abs(values)).sum(axis=(1, 2))

    estimate = (mask @ band_matrix(BANDS).T) * x
    floor = 1e-3 * energy(x)
    waveform = decibels((energy(estimate - s) + floor) / (energy(s) + floor))
    noisy_bands, clean_bands = (compressed_bands(np.abs(v), BANDS) for v in (x, s))
    floor = 1e-3 * energy(noisy_bands)
    error = energy((mask + 1e-4) ** 0.3 * noisy_bands - clean_bands)
    spectral = decibels((error + floor) / (energy(clean_bands) + floor))
    assert abs(spectral) > 0.1
    for weight in (0.0, 0.5, 2.0):
        found = float(enhancement_loss(tf.constant(mask), batch, weight))
        assert found == pytest.approx(waveform + weight * spectral, abs=1e-3)


def test_silence_has_a_finite_loss_and_gradient() -> None:
    noisy, clean = Noise().batch(0, 2)
    for quiet in (0 * clean, clean):
        batch = Batch.from_audio(noisy * (quiet is clean), quiet, FRONT_END)
        mask = tf.fill(batch.features.shape, 0.5)
        with tf.GradientTape() as tape:
            tape.watch(mask)
            loss = enhancement_loss(mask, batch, 0.5) + imitation_loss(mask, 0.9 * mask, batch)
        assert np.isfinite(float(loss))
        assert np.isfinite(tape.gradient(loss, mask).numpy()).all()
