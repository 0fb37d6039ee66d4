"""What the numbers say, in sentences."""

import dataclasses

from pipeline.deployed import IntegerDifference
from pipeline.reporting.results import Converted, Latency, Metric, Produced, Results, Source

_COMPARED: tuple[tuple[Metric, str, int], ...] = (
    ("si_sdr_db", "dB SI-SDR", 2),
    ("pesq_wb", "PESQ", 2),
    ("stoi", "STOI", 3),
)
# The closest a source is to the device, the better it speaks for it.
_BEST_SOURCE_FIRST: tuple[Source, ...] = ("board", "fvp", "emulator", "vela")
MINUS = "\N{MINUS SIGN}"
_NO_BREAK = "\N{NO-BREAK SPACE}"
MAX_SI_SDR_CHANGE_DB = 0.1
"""Largest difference between training arithmetic and the TFLite model that passes as equal."""
MAX_RUNTIME_LSB = 2
"""Known difference of the two runtimes' tanh and logistic functions."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """One compressed model in a few words, next to the dense float network."""

    name: str
    removed: str
    flash: str
    times_smaller: str
    si_sdr_change: str
    quality: str
    latency: str


@dataclasses.dataclass(frozen=True)
class Proof:
    """One check of the convert stage: what was compared, and what came out."""

    holds: bool
    claim: str
    finding: str


def summaries(
    results: Results, left: dict[str, float], float_bytes: int, hop_us: float
) -> list[Summary]:
    """One summary a variant, in the main memory mode."""
    return [
        _summary(results, name, 1.0 - left[name], float_bytes, hop_us) for name in results.compress
    ]


def readable_bytes(count: int) -> str:
    """Bytes in decimal units, three digits."""
    for unit, unit_bytes in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= unit_bytes:
            value = count / unit_bytes
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f}{_NO_BREAK}{unit}"
    return f"{count}{_NO_BREAK}bytes"


def proofs(converted: Converted | Produced, variant: str) -> list[Proof]:
    """The chain from training to TFLite Micro, link by link; the toolkit's has the last one."""
    if isinstance(converted, Produced):
        tflm = converted.tflite_vs_tflm
        return [] if tflm is None else [_runtimes_agree(tflm)]
    keras = converted.keras_vs_tflite
    loss_db = keras.si_sdr_keras_db - keras.si_sdr_tflite_db
    return [
        Proof(
            converted.weights_equal_training,
            "The integers in the file are the integers training saw.",
            f"Every int8 weight of {variant}.tflite was compared with the weight the "
            "trained network computes with, mask and rounding included: "
            + ("all equal." if converted.weights_equal_training else "they differ."),
        ),
        Proof(
            abs(loss_db) <= MAX_SI_SDR_CHANGE_DB,
            "The TFLite model computes what training computed.",
            f"Over {keras.frames:,} frames of real noisy speech, fed hop by hop, its mask (0 to 1) "
            f"differs by {keras.mask_mean_abs:.2g} on average and {keras.mask_worst_abs:.2g} at "
            f"worst. The enhanced speech scores {_decimal(keras.si_sdr_tflite_db)} dB SI-SDR, "
            f"against {_decimal(keras.si_sdr_keras_db)} dB in training arithmetic.",
        ),
        _runtimes_agree(converted.tflite_vs_tflm),
    ]


def _runtimes_agree(difference: IntegerDifference) -> Proof:
    share = difference.mismatching / max(1, difference.values)
    return Proof(
        difference.worst_lsb <= MAX_RUNTIME_LSB,
        "TFLite Micro, the runtime of the device, agrees with TFLite.",
        f"Of {difference.values:,} values, {difference.mismatching:,} differ ({share:.2%})"
        + (f", the worst by {difference.worst_lsb} LSB." if share else "."),
    )


def _summary(
    results: Results, name: str, removed: float, float_bytes: int, hop_us: float
) -> Summary:
    mode = results.memory_modes[0]
    flash_bytes = results.compile[name][mode].flash.total
    changes = [
        f"{_signed(change, digits)} {unit}"
        for metric, unit, digits in _COMPARED
        if (change := results.change(name, metric)) is not None
    ]
    return Summary(
        name=name,
        removed=f"{removed:.0%}" if removed else "",
        flash=readable_bytes(flash_bytes),
        times_smaller=f"{float_bytes / flash_bytes:.1f}",
        si_sdr_change=changes[0],
        quality=", ".join(changes),
        latency=_latency(_closest_to_device(results, name, mode), hop_us),
    )


def _closest_to_device(results: Results, name: str, mode: str) -> Latency | None:
    rows = (results.latency(name, mode, source) for source in _BEST_SOURCE_FIRST)
    return next((row for row in rows if row is not None), None)


def _latency(row: Latency | None, hop_us: float) -> str:
    if row is None:
        return "not measured"
    return (
        f"{row.latency_us:,.0f} µs a hop, {row.latency_us / hop_us:.1%} of real time ({row.source})"
    )


def _decimal(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def _signed(value: float, digits: int) -> str:
    """Text with a sign, and with none where the value rounds to nothing."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)
