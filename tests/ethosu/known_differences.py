"""Where TFLite's reference kernels are not what the NPU computes, and what is instead.

A family listed here must equal `equals` bit for bit, where there is such a reference; against the
others its largest difference, in quantized steps, is bounded by `bounds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from exact_arithmetic import ExactArithmetic

from pipeline.ethosu.golden import MicroGolden, TfliteGolden

Reference = type[TfliteGolden | MicroGolden | ExactArithmetic]


@dataclass(frozen=True)
class KnownDifference:
    """Why TFLite differs, what equals the NPU, and how far the others may be from it."""

    cause: str
    equals: Reference | None
    bounds: Mapping[Reference, int] = field(default_factory=dict)


_SUM = (
    "TFLite 2.21's reference SUM gives values unrelated to the sum where the scales differ; TFLite "
    "Micro rounds twice, Vela's stream once"
)
_NEG = "TFLite negates stored integers without their zero point; TFLite Micro has no integer NEG"

KNOWN_DIFFERENCES = {
    "fully_connected_int8": KnownDifference(
        "TFLite 2.21 rounds fully connected results once, TFLite Micro and the NPU twice",
        MicroGolden,
        {TfliteGolden: 1},
    ),
    "fully_connected_int16": KnownDifference(
        "TFLite 2.21 keeps 32-bit multipliers in fully connected layers, Micro and Vela 16 bits",
        MicroGolden,
        {TfliteGolden: 1},
    ),
    "absolute_int16": KnownDifference(
        "TFLite 2.21 divides input by output scale in single precision, Micro and Vela in double",
        MicroGolden,
        {TfliteGolden: 1},
    ),
    "elu_int8": KnownDifference("TFLite has no reference kernel for ELU", MicroGolden),
    "total_int8": KnownDifference(_SUM, ExactArithmetic, {TfliteGolden: 255, MicroGolden: 1}),
    "total_int16": KnownDifference(_SUM, ExactArithmetic, {TfliteGolden: 65535, MicroGolden: 1}),
    "logarithm_int16": KnownDifference(
        "Vela's interpolation table has another slope in the last of its 512 segments; TFLite "
        "Micro has no such kernel",
        None,
        {TfliteGolden: 1},
    ),
    "negative_int8": KnownDifference(_NEG, ExactArithmetic, {TfliteGolden: 255}),
    "negative_int16": KnownDifference(_NEG, ExactArithmetic, {TfliteGolden: 65535}),
}


def references_of(family: str) -> dict[Reference, int]:
    """Every reference of a family and the largest difference allowed, the exact one first."""
    known = KNOWN_DIFFERENCES.get(family)
    if known is None:
        return {TfliteGolden: 0}
    exact: dict[Reference, int] = {} if known.equals is None else {known.equals: 0}
    return {**exact, **known.bounds}
