"""Fixed quantization grids for every tensor of the recurrent mask network.

TensorFlow Lite represents a real number as ``scale * (q - zero_point)`` (Jacob et al., 2018).
Almost every tensor here has a range known in advance (a sigmoid lies in [0, 1), a hidden state in
(-1, 1), a sigmoid's input stops mattering beyond +-6), so the grids are constants rather than
calibrated: training, the int8 model and the firmware agree on them by construction. The only
data-dependent range is the ReLU layer's, which is measured once before compression starts.

Every scale, those of the weights included, is a power of two. Then float32 holds every product,
sum and tie of the integer network exactly, so training in fake quantization and the deployed
integers agree bit for bit rather than within a tolerance, and requantization is a shift.

Two integer schemes are offered, both with int8 weights. ``int8`` keeps every activation in 8 bits
and is the cheapest on the NPU. ``int16`` is TensorFlow Lite's 16x8, in case the cell state, an
accumulator with a long memory, needs finer steps than int8 has. TensorFlow Lite has no operator
that leads from int8 back to int16, so an int16 cell makes the whole step int16.
"""

import dataclasses
from typing import Literal

import numpy as np

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
    """Grids of the network's tensors; ``None`` leaves that point in floating point.

    Attributes:
        name: what configs and cards call it.
        hidden: features and hidden states, which share one grid.
        reduced: outputs of a recurrent layer's basis (low-rank pairs), made with a deviation of 1.
        gate_input, gate: input and output of the i, f, o sigmoids.
        candidate_input, candidate: input and output of the g tanh.
        cell: cell state.
        cell_tanh: tanh of the cell state.
        mask_input, mask: input and output of the mask sigmoid.
        quantize_weights: weights on symmetric per-tensor int8 grids.
    """

    name: str
    hidden: Grid | None = None
    reduced: Grid | None = None
    gate_input: Grid | None = None
    gate: Grid | None = None
    candidate_input: Grid | None = None
    candidate: Grid | None = None
    cell: Grid | None = None
    cell_tanh: Grid | None = None
    mask_input: Grid | None = None
    mask: Grid | None = None
    quantize_weights: bool = True

    def relu_grid(self, maximum: float) -> Grid | None:
        """Grid for a ReLU output whose largest observed value is ``maximum``."""
        if self.hidden is None:
            return None
        if self.hidden.dtype == "int16":
            return Grid("int16", power_of_two_above(maximum / 32767))
        return Grid("int8", power_of_two_above(maximum / 255), -128)


FLOAT = Scheme("float", quantize_weights=False)
INT8 = Scheme(
    "int8",
    hidden=Grid("int8", 1 / 128),
    reduced=Grid("int8", 4 / 128),
    gate_input=Grid("int8", 8 / 128),
    gate=Grid("int8", 1 / 256, -128),
    candidate_input=Grid("int8", 2 / 128),
    candidate=Grid("int8", 1 / 128),
    cell=Grid("int8", 2 / 128),
    cell_tanh=Grid("int8", 1 / 128),
    mask_input=Grid("int8", 8 / 128),
    mask=Grid("int8", 1 / 256, -128),
)
_UNIT = Grid("int16", 1 / 32768)
_Q3_12 = Grid("int16", CELL_LIMIT / 32768)
INT16 = Scheme(
    "int16",
    hidden=_UNIT,
    reduced=_Q3_12,
    gate_input=_Q3_12,
    gate=_UNIT,
    candidate_input=_Q3_12,
    candidate=_UNIT,
    cell=_Q3_12,
    cell_tanh=_UNIT,
    mask_input=_Q3_12,
    mask=_UNIT,
)
SCHEMES = {scheme.name: scheme for scheme in (FLOAT, INT8, INT16)}
