import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from pipeline.metrics.quality import (
    ClipPair,
    ClipScores,
    Scores,
    pesq_wb,
    score,
    scoring,
    sdr_db,
    si_sdr_db,
    stoi_index,
    summarise,
    summary_as_json,
)

RATE_HZ = 16_000


def voiced(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """A buzz through three resonances, in bursts with pauses: enough like speech for PESQ."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = 120 + 20 * np.sin(2 * np.pi * 1.3 * time_s)
    pulses = (np.diff(np.floor(np.cumsum(pitch_hz) / RATE_HZ), prepend=0) > 0).astype(float)
    signal = pulses + 0.01 * rng.standard_normal(len(time_s))
    for centre_hz in (500, 1500, 2500):
        angle = 2 * np.pi * centre_hz / RATE_HZ
        signal = lfilter([1], [1, -2 * 0.97 * np.cos(angle), 0.97**2], signal)
    signal *= np.sin(2 * np.pi * 2 * time_s) > -0.3
    scaled: np.ndarray = 0.3 * signal / np.abs(signal).max()
    return scaled.astype(np.float32)


def at_snr(clean: np.ndarray, snr_db: float, seed: int = 1) -> np.ndarray:
    """`clean` plus white noise made orthogonal to it, at an exact SNR."""
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    reference: np.ndarray = clean.astype(np.float64)
    noise -= noise @ reference / (reference @ reference) * reference
    noise *= np.linalg.norm(reference) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)
    noisy: np.ndarray = reference + noise
    return noisy


@given(snr_db=st.floats(-30, 60), gain=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]))
def test_si_sdr_is_the_snr_of_orthogonal_noise_at_any_scale(
    snr_db: float, gain: float, sign: int
) -> None:
    clean = voiced(0.5)
    assert si_sdr_db(clean, sign * gain * at_snr(clean, snr_db)) == pytest.approx(snr_db, abs=1e-4)
    assert si_sdr_db(gain * clean, at_snr(clean, snr_db)) == pytest.approx(snr_db, abs=1e-4)


def test_si_sdr_of_two_tones_has_its_closed_form() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    clean, other = np.sin(2 * np.pi * 100 * time_s), np.cos(2 * np.pi * 300 * time_s)
    assert si_sdr_db(clean, 3 * clean + 0.3 * other) == pytest.approx(20, abs=1e-9)


def test_exact_copy_and_orthogonal_estimate_are_bounded_to_100_db() -> None:
    clean = voiced(1.0)
    assert si_sdr_db(clean, clean) == 100.0
    assert sdr_db(clean, clean) == 100.0
    one, other = np.zeros(RATE_HZ), np.zeros(RATE_HZ)
    one[0], other[1] = 1.0, 1.0
    assert si_sdr_db(one, other) == -100.0


@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 9.0])
def test_sdr_forgives_a_512_tap_filter_and_si_sdr_does_not(snr_db: float) -> None:
    clean = voiced()
    noisy = at_snr(clean, snr_db)
    # The best of all 512-tap filters is at least as good as the best gain.
    assert snr_db <= sdr_db(clean, noisy) < snr_db + 0.5

    clean[-600:] = 0  # room for the filter's tail
    taps = np.random.default_rng(2).standard_normal(512) * np.exp(-np.arange(512) / 50)
    filtered = lfilter(taps, [1], clean)
    assert si_sdr_db(clean, filtered) < 10
    assert sdr_db(clean, filtered) > 60
    assert sdr_db(clean, np.concatenate([np.zeros(511), clean[:-511]])) > 60
    assert sdr_db(clean, np.concatenate([np.zeros(530), clean[:-530]])) < 20


def test_sdr_of_a_delayed_copy_equals_that_of_the_copy() -> None:
    clean = voiced()
    clean[-64:] = 0  # nothing is lost at the end
    noisy = at_snr(clean, 5)
    noisy[-64:] = 0
    late = np.concatenate([np.zeros(64), noisy[:-64]])
    assert sdr_db(clean, late) == pytest.approx(sdr_db(clean, noisy), abs=0.2)


def test_pesq_and_stoi_are_best_for_a_copy_and_fall_with_noise() -> None:
    clean = voiced()
    assert pesq_wb(clean, clean) == pytest.approx(4.644, abs=1e-3)
    assert stoi_index(clean, clean) == pytest.approx(1.0, abs=1e-6)
    scores = [score(clean, at_snr(clean, snr_db)) for snr_db in (-5, 5, 15, 30)]
    for metric in ("si_sdr_db", "sdr_db", "pesq_wb", "stoi"):
        values = [getattr(one, metric) for one in scores]
        assert values == sorted(values) and len(set(values)) == 4, metric


def test_pesq_and_stoi_hear_what_is_missing_from_the_clean_reference() -> None:
    clean = voiced()
    halved = clean.copy()
    halved[len(halved) // 2 :] *= 1e-3
    assert stoi_index(clean, halved) < 0.85 < stoi_index(halved, clean)
    assert pesq_wb(clean, halved) < 2 < pesq_wb(halved, clean)


def test_pesq_ignores_a_common_and_an_own_gain() -> None:
    clean, noisy = voiced(), at_snr(voiced(), 10)
    expected = pesq_wb(clean, noisy)
    assert pesq_wb(0.1 * clean, 0.1 * noisy) == pytest.approx(expected, abs=1e-3)
    assert pesq_wb(clean, 0.5 * noisy) == pytest.approx(expected, abs=0.02)


def test_without_its_package_pesq_alone_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = voiced()
    noisy = at_snr(clean, 10)
    with_it = score(clean, noisy)
    monkeypatch.setattr("pipeline.metrics.quality.pesq", None)
    without = score(clean, noisy)
    assert math.isnan(without.pesq_wb) and not math.isnan(with_it.pesq_wb)
    assert replace(without, pesq_wb=with_it.pesq_wb) == with_it


def test_what_pesq_or_stoi_cannot_judge_is_nan_and_the_rest_is_scored() -> None:
    infrasound = np.sin(2 * np.pi * 20 * np.arange(RATE_HZ) / RATE_HZ)  # below PESQ's band
    scores = score(infrasound, infrasound)
    assert math.isnan(scores.pesq_wb) and scores.si_sdr_db == 100.0

    click = np.zeros(RATE_HZ)
    click[8000] = 1.0  # one frame, STOI needs thirty
    scores = score(click, click)
    assert math.isnan(scores.stoi) and scores.si_sdr_db == 100.0


GOOD = voiced(1.0)


@pytest.mark.parametrize(
    ("clean", "estimate", "rate_hz", "message"),
    [
        (GOOD, GOOD[:-1], RATE_HZ, "it/7: clean has 16000 samples, estimate 15999; align them"),
        (GOOD, np.where(GOOD > 0.1, np.nan, GOOD), RATE_HZ, "it/7: estimate holds NaN or inf"),
        (np.where(GOOD > 0.1, np.inf, GOOD), GOOD, RATE_HZ, "it/7: clean holds NaN or infinite"),
        (GOOD, GOOD, 8000, "it/7: expected 16000 Hz, got 8000 Hz; resample it first"),
        (GOOD[:3999], GOOD[:3999], RATE_HZ, "it/7: 3999 samples are too short to score"),
        (GOOD[None], GOOD[None], RATE_HZ, r"it/7: clean must be a floating-point .*\[1, 16000\]"),
        (GOOD, (GOOD * 32768).astype(np.int16), RATE_HZ, "it/7: estimate must be .* got int16"),
        (GOOD[:0], GOOD[:0], RATE_HZ, "it/7: 0 samples are too short to score"),
    ],
)
def test_bad_input_is_refused_by_name(
    clean: np.ndarray, estimate: np.ndarray, rate_hz: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(clean, estimate, rate_hz, clip="it/7")


@pytest.mark.parametrize("silent", ["clean", "estimate"])
def test_next_to_silence_no_score_is_defined(silent: str) -> None:
    signals = {"clean": GOOD, "estimate": GOOD, silent: 0 * GOOD}
    scores = score(signals["clean"], signals["estimate"])
    assert all(math.isnan(value) for value in scores.by_metric().values())
    data = summary_as_json(summarise([ClipScores("a", 0.0, scores), row("b", 0.0, 4.0, 1.5)]))
    assert data["overall"]["si_sdr_db"] == {
        "mean": 4.0,
        "standard_error": None,
        "valid": 1,
        "total": 2,
    }


def test_an_estimate_without_sound_is_the_worst_and_a_silent_reference_is_refused() -> None:
    assert si_sdr_db(GOOD, 0 * GOOD) == -100.0
    with pytest.raises(ValueError, match="SI-SDR: the clean signal is silent"):
        si_sdr_db(0 * GOOD, GOOD)


def test_processes_give_the_same_scores_in_the_same_order_and_name_a_bad_clip() -> None:
    clips = [voiced(1.0, seed) for seed in range(5)]
    pairs = [
        ClipPair(f"clip{i}", 3.0 * i, clip, at_snr(clip, 3.0 * i)) for i, clip in enumerate(clips)
    ]
    with scoring() as score_all:
        alone = list(score_all(pairs))
    assert [row.clip for row in alone] == [f"clip{i}" for i in range(5)]
    with scoring(workers=2) as score_all:
        together = list(score_all(pairs))
        with pytest.raises(ValueError, match="broken: clean has 16000 samples"):
            list(score_all([pairs[0], ClipPair("broken", 0, GOOD, GOOD[:-1])]))
    assert [row.clip for row in together] == [row.clip for row in alone]
    for ours, theirs in zip(together, alone, strict=True):
        # Sums may be ordered otherwise where the number of BLAS threads differs.
        assert asdict(ours.scores) == pytest.approx(asdict(theirs.scores), abs=1e-9)


def test_less_than_one_process_is_refused() -> None:
    with pytest.raises(ValueError, match="workers: expected at least 1, got 0"), scoring(0):
        pass


SCRIPT = """
import sys
print("loaded", flush=True)
if __name__ == "__main__":
    import numpy as np
    from pipeline.metrics.quality import ClipPair, scoring
    noise = np.random.default_rng(1).standard_normal(16_000)
    with scoring(workers=2) as score_all:
        print(len(list(score_all([ClipPair("a", 0, noise, noise)] * 4))))
"""


def test_workers_do_not_run_the_script_that_starts_them(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["loaded", "4"]


def test_workers_need_no_training_framework() -> None:
    check = (
        "import sys, pipeline.metrics.quality;"
        "print([m for m in ('tensorflow', 'tf_keras', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def row(clip: str, snr_db: float, si_sdr: float, pesq: float) -> ClipScores:
    return ClipScores(clip, snr_db, Scores(si_sdr, si_sdr + 1, pesq, 0.5))


def test_summary_means_errors_and_groups_by_snr() -> None:
    rows = [row("a", 3, 4.0, 1.5), row("b", -6, 1.0, math.nan), row("c", 3, 8.0, 2.5)]
    summary = summarise(rows)
    overall = summary.overall["si_sdr_db"]
    assert overall.mean == pytest.approx(13 / 3)
    assert overall.standard_error == pytest.approx(np.std([4, 1, 8], ddof=1) / np.sqrt(3))
    assert (overall.valid, overall.total) == (3, 3)

    pesq = summary.overall["pesq_wb"]
    assert (pesq.mean, pesq.valid, pesq.total) == (2.0, 2, 3)
    assert list(summary.per_snr_db) == [-6, 3]
    assert summary.per_snr_db[3]["si_sdr_db"].mean == 6.0
    lonely = summary.per_snr_db[-6]
    assert lonely["si_sdr_db"].mean == 1.0 and math.isnan(lonely["si_sdr_db"].standard_error)
    assert math.isnan(lonely["pesq_wb"].mean) and lonely["pesq_wb"].valid == 0


def test_summary_as_json_is_strict_json() -> None:
    rows = [row("a", 3, 4.0, 1.5), row("b", -6, 1.0, math.nan)]
    data = summary_as_json(summarise(rows))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert list(data["per_snr_db"]) == ["-6", "3"]
    nothing = {"mean": None, "standard_error": None, "valid": 0, "total": 1}
    assert data["per_snr_db"]["-6"]["pesq_wb"] == nothing
    assert data["overall"]["si_sdr_db"]["mean"] == 2.5


def test_improvements_are_paired_clip_by_clip() -> None:
    noisy = [row("a", 3, 1.0, 1.1), row("b", 0, -2.0, 1.0)]
    rows = [row("a", 3, 4.0, 1.5), row("b", 0, 1.0, 1.2)]
    improvement = summarise(rows, noisy).overall["si_sdri_db"]
    assert improvement.mean == pytest.approx(3.0)
    assert improvement.standard_error == pytest.approx(0.0)  # both clips gain the same 3 dB
    with pytest.raises(ValueError, match="same clips in the same order"):
        summarise(rows, noisy[::-1])
    with pytest.raises(ValueError, match="at least one scored clip"):
        summarise([])
