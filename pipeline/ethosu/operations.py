"""Typed operations: what one NPU_OP_* command does once all registers it depends on are read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Layout(Enum):
    """Feature-map memory layouts: rows of channels, or bricks of 16 channels."""

    NHWC = "NHWC"
    NHCWB16 = "NHCWB16"


class Rounding(IntEnum):
    """Register encoding of the rounding after scaling; see `arithmetic.py`."""

    DOUBLE = 0
    TRUNCATE = 1
    NATURAL = 2


class Upscale(IntEnum):
    """2x input upscaling: by repetition, or by interleaving zeros."""

    NONE = 0
    NEAREST = 1
    ZEROS = 2


class PoolMode(IntEnum):
    MAX = 0
    AVERAGE = 1
    REDUCE_SUM = 2


class ElementwiseMode(IntEnum):
    MUL = 0
    ADD = 1
    SUB = 2
    MIN = 3
    MAX = 4
    LRELU = 5
    ABS = 6
    CLZ = 7
    SHR = 8
    SHL = 9


class OperandScale(IntEnum):
    """Which ADD/SUB operand is rescaled: both by 16-bit factors, or one by a 32-bit factor."""

    BOTH_16 = 0
    A_32 = 1
    B_32 = 2


class Activation(IntEnum):
    """Output function after scaling: clamp only, or lookup table number `value - TABLE_0`."""

    CLAMP = 0
    TANH = 3
    SIGMOID = 4
    TABLE_0 = 16


UNARY_MODES = frozenset({ElementwiseMode.LRELU, ElementwiseMode.ABS, ElementwiseMode.CLZ})


@dataclass(frozen=True)
class ByteRange:
    """`length` bytes at `address` of `region`; `internal` means SHRAM instead of a region."""

    region: int
    address: int
    length: int
    internal: bool = False


@dataclass(frozen=True)
class FeatureMap:
    """A three-dimensional tensor in memory, split into at most four tiles.

    `shape` is (height, width, depth) in elements; strides are bytes. Tile 0 holds rows below
    `height0` and columns below `width0`, tile 1 the columns right of it (rows below `height1`),
    tiles 2 and 3 the rows beneath. `dtype` is a NumPy little-endian type string.
    """

    region: int
    bases: tuple[int, int, int, int]
    height0: int
    height1: int
    width0: int
    shape: tuple[int, int, int]
    stride_y: int
    stride_x: int
    stride_c: int
    dtype: str
    layout: Layout
    zero_point: int

    @property
    def element_bytes(self) -> int:
        return int(self.dtype[-1])


@dataclass(frozen=True)
class Kernel:
    """Kernel in taps (not dilated), with stride, dilation and padding in elements."""

    height: int
    width: int
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0

    @property
    def dilated_height(self) -> int:
        return (self.height - 1) * self.dilation_y + 1

    @property
    def dilated_width(self) -> int:
        return (self.width - 1) * self.dilation_x + 1

    @property
    def padded(self) -> bool:
        return any((self.pad_top, self.pad_left, self.pad_bottom, self.pad_right))


@dataclass(frozen=True)
class Output:
    """The output stage: clamp bounds (quantized), function, rounding, and the global scale.

    `scale` and `shift` are the OFM_SCALE register, or None when per-channel records apply.
    `clip_dtype` is the type that a table index is clamped to, or None for the OFM's own.
    """

    rounding: Rounding
    activation: Activation
    table: int
    minimum: int
    maximum: int
    scale: int | None
    shift: int
    clip_dtype: str | None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Common to all: position in the stream and how many jobs may still be running when it starts.

    `command_offset` is that of the command word, in bytes from the start of the stream.
    `kernel_wait` and `dma_wait` are the largest numbers of outstanding block operations and DMA
    transfers allowed when it starts, or None when the stream does not wait.
    """

    command_index: int
    command_offset: int
    command: str
    kernel_wait: int | None
    dma_wait: int | None


@dataclass(frozen=True, kw_only=True)
class Dma(Operation):
    """Copies `source.length` bytes."""

    source: ByteRange
    destination: ByteRange


@dataclass(frozen=True, kw_only=True)
class BlockOperation(Operation):
    """Everything that runs through the MAC array or the output stage, block by block.

    `block` is the OFM block (height, width, depth); `blockdep` how many blocks of the previous
    operation may be unfinished when this one starts; `accumulator_bits` is 32 or 40.
    """

    ifm: FeatureMap
    ofm: FeatureMap
    upscale: Upscale
    output: Output
    block: tuple[int, int, int]
    blockdep: int
    accumulator_bits: int


@dataclass(frozen=True, kw_only=True)
class Convolution(BlockOperation):
    """2-D convolution, also fully connected; `depthwise` keeps channels apart."""

    kernel: Kernel
    depthwise: bool
    part_kernel_first: bool
    weights: ByteRange
    scales: ByteRange


@dataclass(frozen=True, kw_only=True)
class Pooling(BlockOperation):
    kernel: Kernel
    mode: PoolMode


@dataclass(frozen=True, kw_only=True)
class Elementwise(BlockOperation):
    """`ifm2` is None for unary modes and scalars; broadcast dimensions of it have size 1.

    `reversed_operands` means the second operand of a SUB or shift is `ifm`.
    """

    mode: ElementwiseMode
    ifm2: FeatureMap | None
    scalar: int | None
    ifm2_zero_point: int
    reversed_operands: bool
    operand_scale: OperandScale
    opa_scale: int
    opa_shift: int
    opb_scale: int
    ifm_rounding: Rounding
