"""Quantization grids of every tensor.

TensorFlow Lite represents a real number as ``scale * (q - zero_point)`` (Jacob et al., 2018).
Almost every tensor here has a range known in advance (a sigmoid lies in [0, 1), a hidden state in
(-1, 1), a sigmoid's input stops mattering beyond +-6), so the grids are constants rather than
calibrated: training, the int8 model and the firmware agree on them by construction. Ranges that are
not known, as that of a ReLU layer, are measured once before compression starts.

Every scale, those of the weights included, is a power of two. Then float32 holds every product,
sum and tie of the integer network exactly, so training in fake quantization and the deployed
integers agree bit for bit rather than within a tolerance, and requantization is a shift.

Two integer schemes are offered, both with int8 weights. ``int8`` keeps every activation in 8 bits
and is the cheapest on the NPU. ``int16`` is TensorFlow Lite's 16x8, in case the cell state, an
accumulator with a long memory, needs finer steps than int8 has. TensorFlow Lite has no operator
that leads from int8 back to int16, so an int16 cell makes the whole step int16.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from pipeline.errors import InputError

DType = Literal["int8", "int16"]
CELL_LIMIT = 8.0
# Stored weights and biases are even: a training step is two storage steps. TensorFlow Lite rounds a
# fully connected sum once, TensorFlow Lite Micro and the NPU round it twice (first to half a unit
# of a power-of-two multiplier); on even sums the first of the two is exact, so all three agree.
STORED_STEPS = 2
# Largest weight in training steps; a matrix of zeros still gets a finite step.
WEIGHT_LIMIT = 63
MIN_WEIGHT = 1e-6


def power_of_two_above(value: float) -> float:
    """Smallest power of two that is not below a positive value."""
    return float(2.0 ** np.ceil(np.log2(value)))


def half_away(value: np.ndarray) -> np.ndarray:
    """Round to integers, ties away from zero."""
    return np.copysign(np.floor(np.abs(value) + 0.5), value)


def integer_steps(kernel: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    """Weights as whole training steps, as `pipeline.quantization.fake` rounds them.

    Returns:
        int8 of the same shape, in -63..63, and the step: a power of two.
    """
    largest = np.maximum(np.abs(kernel).max(), np.float32(MIN_WEIGHT))
    step = power_of_two_above(largest / np.float32(WEIGHT_LIMIT))
    return half_away(kernel / np.float32(step)).astype(np.int8), step


@dataclasses.dataclass(frozen=True)
class Grid:
    """One affine integer grid.

    Attributes:
        dtype: storage type.
        scale: real value of one step.
        zero_point: integer that stands for 0.0.
    """

    dtype: DType
    scale: float
    zero_point: int = 0

    def __post_init__(self) -> None:
        info = np.iinfo(self.dtype)
        if not (0 < self.scale < np.inf and info.min <= self.zero_point <= info.max):
            raise InputError(
                f"grid of scale {self.scale} and zero point {self.zero_point}: expected a finite "
                f"scale above 0 and a zero point of type {self.dtype}"
            )

    @property
    def bits(self) -> int:
        """Width of the storage type in bits."""
        return int(np.iinfo(self.dtype).bits)

    @property
    def minimum(self) -> float:
        """Smallest real value on the grid."""
        return float(np.iinfo(self.dtype).min - self.zero_point) * self.scale

    @property
    def maximum(self) -> float:
        """Largest real value on the grid."""
        return float(np.iinfo(self.dtype).max - self.zero_point) * self.scale

    def quantize(self, real: np.ndarray) -> np.ndarray:
        """Round real values to the grid (half away from zero), saturating: same shape, `dtype`."""
        info = np.iinfo(self.dtype)
        steps = half_away(np.asarray(real, np.float64) / self.scale) + self.zero_point
        return np.clip(steps, info.min, info.max).astype(self.dtype)

    def dequantize(self, integers: np.ndarray) -> np.ndarray:
        """Real values of grid points, float32."""
        return ((integers.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Scheme:
    """Grids by role; a role without one stays in floating point.

    A network's nodes name their roles. Those known to every network are in `INT8` and `INT16`; the
    others have ranges that are measured (`measured`).

    Attributes:
        name: what configs and cards call it.
        grids: by role.
        quantize_weights: weights on symmetric per-tensor int8 grids.
    """

    name: str
    grids: Mapping[str, Grid] = dataclasses.field(default_factory=dict)
    quantize_weights: bool = True

    def grid(self, role: str | None) -> Grid | None:
        """Of a role; None for floating point."""
        return None if role is None else self.grids.get(role)

    def measured(self, role: str, maximum: float, signed: bool) -> "Scheme":
        """The scheme with a grid for a role whose largest observed magnitude is ``maximum``."""
        if self.name == "int16":
            grid = Grid("int16", power_of_two_above(maximum / 32767))
        elif signed:
            grid = Grid("int8", power_of_two_above(maximum / 127))
        else:
            grid = Grid("int8", power_of_two_above(maximum / 255), -128)
        return dataclasses.replace(self, grids={**self.grids, role: grid})

    def to_json(self) -> dict[str, Any]:
        """JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Scheme":
        """Check what `to_json` returned.

        Raises:
            InputError: it is no scheme.
        """
        try:
            return _ADAPTER.validate_python(data)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise InputError(f"scheme: {where}: {problem['msg']}") from error


_ADAPTER = TypeAdapter(Scheme)
_UNIT8, _UNIT16 = Grid("int8", 1 / 128), Grid("int16", 1 / 32768)
_SHARE8, _Q3_12 = Grid("int8", 1 / 256, -128), Grid("int16", CELL_LIMIT / 32768)
# Role: its int8 and int16 grid.
_ROLES = {
    # Features and hidden states, which share one grid.
    "hidden": (_UNIT8, _UNIT16),
    # Outputs of a low-rank basis, made with a deviation of 1.
    "reduced": (Grid("int8", 4 / 128), _Q3_12),
    # Input and output of a gate's sigmoid.
    "gate_input": (Grid("int8", 8 / 128), _Q3_12),
    "gate": (_SHARE8, _UNIT16),
    # Input and output of a candidate's tanh.
    "candidate_input": (Grid("int8", 2 / 128), _Q3_12),
    "candidate": (_UNIT8, _UNIT16),
    "cell": (Grid("int8", 2 / 128), _Q3_12),
    "cell_tanh": (_UNIT8, _UNIT16),
    # Input and output of attention's softmax.
    "scores": (Grid("int8", 8 / 128), _Q3_12),
    "attention": (_SHARE8, _UNIT16),
    # Input and output of the band mask's sigmoid.
    "mask_input": (Grid("int8", 8 / 128), _Q3_12),
    "mask": (_SHARE8, _UNIT16),
}
FLOAT = Scheme("float", quantize_weights=False)
INT8, INT16 = (
    Scheme(name, {role: grids[k] for role, grids in _ROLES.items()})
    for k, name in enumerate(("int8", "int16"))
)
SCHEMES = {scheme.name: scheme for scheme in (FLOAT, INT8, INT16)}
