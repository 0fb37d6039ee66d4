"""SI-SDR, SDR, PESQ-WB, STOI and DNSMOS of enhanced speech, one clip at a time or many in parallel.

Signals are mono floating-point arrays `[samples]` in [-1, 1] at 16 kHz, time-aligned: only SDR
forgives a misalignment, and only up to 511 samples.
"""

from __future__ import annotations

import contextlib
import functools
import math
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pystoi import stoi

from pipeline.metrics.dnsmos import Dnsmos

try:
    import pesq
except ModuleNotFoundError:
    pesq = None

with warnings.catch_warnings():
    # mir_eval 0.8 announces that `separation` goes in 0.9 in favour of museval, which evaluates
    # version 4 and gives other numbers: 0.04 and 0.14 dB less on two noisy signals, 12 dB less on
    # one that is filtered as well.
    warnings.simplefilter("ignore", FutureWarning)
    from mir_eval.separation import bss_eval_sources

RATE_HZ = 16_000
MIN_SECONDS = 0.25  # shortest signal P.862 is defined for
DB_LIMIT = 100.0  # an exact copy has infinite SDR; a bound keeps means finite


@dataclass(frozen=True)
class Scores:
    """Quality of one clip; NaN where it defines none.

    PESQ and STOI need some speech; next to silence, clean or estimated, nothing is defined. PESQ
    needs its package too.
    DNSMOS, of the estimate alone, is None where it was not asked for.
    """

    si_sdr_db: float
    sdr_db: float
    pesq_wb: float
    stoi: float
    dnsmos_speech: float | None = None
    dnsmos_background: float | None = None
    dnsmos_overall: float | None = None

    def by_metric(self) -> dict[str, float]:
        """Every score that was asked for."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class ClipPair:
    """One clip to score: `clean` and `estimate` are `[samples]` in [-1, 1] at 16 kHz."""

    clip: str
    snr_db: float
    clean: NDArray[np.floating]
    estimate: NDArray[np.floating]


@dataclass(frozen=True)
class ClipScores:
    """The scores of one named clip whose mixture had `snr_db`."""

    clip: str
    snr_db: float
    scores: Scores


ScoreAll = Callable[[Iterable[ClipPair]], Iterator[ClipScores]]


@dataclass(frozen=True)
class Statistic:
    """Mean over the `valid` of `total` clips that have a value, with its standard error.

    `mean` is NaN when no clip is valid, `standard_error` when fewer than two are.
    """

    mean: float
    standard_error: float
    valid: int
    total: int


@dataclass(frozen=True)
class Summary:
    """Statistics keyed by metric name, over all clips and for each mixture SNR, ascending."""

    overall: dict[str, Statistic]
    per_snr_db: dict[float, dict[str, Statistic]]


def si_sdr_db(clean: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Scale-invariant SDR in dB, bounded to +-100 dB.

    Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019, eq. 4-5.
    The mean is not removed. An estimate without sound, for which it is not defined, counts as
    -100 dB: a network that silences speech must not look better than one that keeps it.

    Raises:
        ValueError: `clean` is silent, so that nothing is defined.
    """
    clean, estimate = clean.astype(np.float64), estimate.astype(np.float64)
    if not clean.any():
        raise ValueError("SI-SDR: the clean signal is silent, every sample is zero")
    if not estimate.any():
        return -DB_LIMIT
    target = (estimate @ clean) / (clean @ clean) * clean
    error = estimate - target
    return _bounded_db(float(target @ target), float(error @ error))


def sdr_db(clean: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """BSS-eval SDR in dB, forgiving any 512-tap filter of `clean`, bounded to +-100 dB.

    Vincent, Gribonval, Fevotte, "Performance measurement in blind audio source separation",
    IEEE TASLP 2006; version 3 as implemented in mir_eval.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # A zero residual divides by zero inside mir_eval: infinite SDR, bounded below.
        warnings.simplefilter("ignore", RuntimeWarning)
        (value,), *_ = bss_eval_sources(
            clean.astype(np.float64)[None],
            estimate.astype(np.float64)[None],
            compute_permutation=False,
        )
    return float(np.clip(value, -DB_LIMIT, DB_LIMIT))


def pesq_wb(clean: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Wide-band PESQ (ITU-T P.862.2) as MOS-LQO, 1.04 to 4.64.

    NaN if it finds no utterance, or if the package `pesq` (the extra of that name) is not there.
    """
    if pesq is None:
        return math.nan
    try:
        return float(pesq.pesq(RATE_HZ, clean, estimate, "wb"))
    except pesq.NoUtterancesError:
        return math.nan


def stoi_index(clean: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """STOI (Taal et al., IEEE TASLP 2011), at most 1; NaN under 30 frames (0.4 s) of speech."""
    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5 when there is too little speech: no score, not a bad one.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(clean, estimate, RATE_HZ))
        except RuntimeWarning:
            return math.nan


def score(
    clean: NDArray[np.floating],
    estimate: NDArray[np.floating],
    rate_hz: int = RATE_HZ,
    clip: str = "clip",
) -> Scores:
    """Score one estimate, `[samples]`, against its clean reference, `[samples]`.

    No score is defined, and all are NaN, where one of the two is silent.

    Raises:
        ValueError: naming `clip`, if the rate is not 16 kHz or the signals are not two equally
            long, finite floating-point vectors of at least 0.25 s.
    """
    _check(clean, estimate, rate_hz, clip)
    if not (clean.any() and estimate.any()):
        return Scores(math.nan, math.nan, math.nan, math.nan)
    return Scores(
        si_sdr_db=si_sdr_db(clean, estimate),
        sdr_db=sdr_db(clean, estimate),
        pesq_wb=pesq_wb(clean, estimate),
        stoi=stoi_index(clean, estimate),
    )


@contextlib.contextmanager
def scoring(workers: int = 1, dnsmos_cache: Path | None = None) -> Iterator[ScoreAll]:
    """Give a function that scores pairs in `workers` processes, which live until the block ends.

    It reads all pairs at once, holding those that wait for a worker in memory, and returns the
    scores in order. Workers are spawned, so they inherit no framework state of the caller; they
    import this module only. With `dnsmos_cache`, the folder its network lies in, DNSMOS is scored
    as well.

    Raises:
        ValueError: as `score`, for the first bad pair; or if `workers` is below 1.
    """
    if workers < 1:
        raise ValueError(f"workers: expected at least 1, got {workers}")
    if workers == 1:
        yield lambda pairs: (_score_pair(pair, dnsmos_cache) for pair in pairs)
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))

    def score_all(pairs: Iterable[ClipPair]) -> Iterator[ClipScores]:
        futures = []
        for pair in pairs:
            with _main_module_hidden():
                futures.append(pool.submit(_score_pair, pair, dnsmos_cache))
        return (future.result() for future in futures)

    try:
        yield score_all
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Let processes start without running the caller's script, which may import TensorFlow."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def summarise(rows: Sequence[ClipScores], noisy: Sequence[ClipScores] = ()) -> Summary:
    """Mean and standard error of every metric, overall and per mixture SNR.

    With `noisy`, the scores of the unprocessed mixtures of the same clips in the same order,
    the summary also has the paired improvements `si_sdri_db` and `sdri_db`.

    Raises:
        ValueError: if `rows` is empty, or `noisy` lists other clips than `rows`.
    """
    if not rows:
        raise ValueError("summarise: expected at least one scored clip, got none")
    values = [row.scores.by_metric() for row in rows]
    if noisy:
        if [row.clip for row in noisy] != [row.clip for row in rows]:
            raise ValueError("summarise: `noisy` must score the same clips in the same order")
        for value, reference in zip(values, noisy, strict=True):
            value["si_sdri_db"] = value["si_sdr_db"] - reference.scores.si_sdr_db
            value["sdri_db"] = value["sdr_db"] - reference.scores.sdr_db
    by_snr: dict[float, list[dict[str, float]]] = {}
    for row, value in zip(rows, values, strict=True):
        by_snr.setdefault(row.snr_db, []).append(value)
    return Summary(
        overall=_statistics(values),
        per_snr_db={snr_db: _statistics(by_snr[snr_db]) for snr_db in sorted(by_snr)},
    )


def scores_as_json(scores: Scores) -> dict[str, float | None]:
    """One clip's scores as JSON data: NaN (no value) becomes null."""
    return _null_for_nan(scores.by_metric())


def summary_as_json(summary: Summary) -> dict[str, Any]:
    """The summary as JSON data: SNRs become keys such as "-6", NaN (no value) becomes null."""

    def plain(statistics: Mapping[str, Statistic]) -> dict[str, dict[str, float | None]]:
        return {metric: _null_for_nan(asdict(value)) for metric, value in statistics.items()}

    return {
        "overall": plain(summary.overall),
        "per_snr_db": {f"{snr:g}": plain(stats) for snr, stats in summary.per_snr_db.items()},
    }


def _null_for_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _score_pair(pair: ClipPair, dnsmos_cache: Path | None) -> ClipScores:
    scores = score(pair.clean, pair.estimate, RATE_HZ, clip=pair.clip)
    if dnsmos_cache is not None:
        opinions = _listener(dnsmos_cache)(pair.estimate)
        scores = replace(
            scores,
            dnsmos_speech=opinions.speech,
            dnsmos_background=opinions.background,
            dnsmos_overall=opinions.overall,
        )
    return ClipScores(pair.clip, pair.snr_db, scores)


@functools.cache
def _listener(cache_dir: Path) -> Dnsmos:
    """The network, loaded once in every process."""
    return Dnsmos.load(cache_dir)


def _statistics(values: Sequence[Mapping[str, float]]) -> dict[str, Statistic]:
    return {metric: _statistic([value[metric] for value in values]) for metric in values[0]}


def _statistic(values: Sequence[float]) -> Statistic:
    valid = np.array([value for value in values if not math.isnan(value)])
    return Statistic(
        mean=float(valid.mean()) if valid.size else math.nan,
        standard_error=(
            float(valid.std(ddof=1) / math.sqrt(valid.size)) if valid.size > 1 else math.nan
        ),
        valid=int(valid.size),
        total=len(values),
    )


def _bounded_db(signal_energy: float, error_energy: float) -> float:
    with np.errstate(divide="ignore"):
        ratio_db = 10 * (np.log10(signal_energy) - np.log10(error_energy))
    return float(np.clip(ratio_db, -DB_LIMIT, DB_LIMIT))


def _check(
    clean: NDArray[np.floating], estimate: NDArray[np.floating], rate_hz: int, clip: str
) -> None:
    if rate_hz != RATE_HZ:
        raise ValueError(f"{clip}: expected {RATE_HZ} Hz, got {rate_hz} Hz; resample it first")
    for name, signal in (("clean", clean), ("estimate", estimate)):
        if signal.ndim != 1 or not np.issubdtype(signal.dtype, np.floating):
            raise ValueError(
                f"{clip}: {name} must be a floating-point [samples] array, "
                f"got {signal.dtype} {list(signal.shape)}"
            )
        if not np.isfinite(signal).all():
            raise ValueError(f"{clip}: {name} holds NaN or infinite samples")
    if len(clean) != len(estimate):
        raise ValueError(
            f"{clip}: clean has {len(clean)} samples, estimate {len(estimate)}; "
            "align them and trim to one length"
        )
    if len(clean) < MIN_SECONDS * RATE_HZ:
        raise ValueError(
            f"{clip}: {len(clean)} samples are too short to score; "
            f"expected at least {MIN_SECONDS} s ({int(MIN_SECONDS * RATE_HZ)} samples)"
        )
