"""Turns commands into operations by replaying register writes (Vela: register command stream).

Registers keep their values between operations, so an operation is complete only together with
everything written before it. A register read before it was ever written is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import StreamError
from .operations import (
    UNARY_MODES,
    Activation,
    ByteRange,
    Convolution,
    Dma,
    Elementwise,
    ElementwiseMode,
    FeatureMap,
    Kernel,
    Layout,
    OperandScale,
    Operation,
    Output,
    Pooling,
    PoolMode,
    Rounding,
    Upscale,
)
from .stream import Command

_REGIONS = 8
_ADDRESS_BITS = 40
_CLIP_DTYPES = {0: None, 2: "<u1", 3: "<i1", 5: "<i2"}
_E = TypeVar("_E", bound=Any)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


@dataclass
class Registers:
    """Register file; values are (param, payload). `command` is the one being executed."""

    command: Command
    values: dict[str, tuple[int, int]] = field(default_factory=dict)

    def error(self, message: str) -> StreamError:
        return StreamError(message, self.command.index, self.command.name)

    def _get(self, name: str) -> tuple[int, int]:
        try:
            return self.values[f"NPU_SET_{name}"]
        except KeyError:
            raise self.error(f"register {name} was never written") from None

    def param(self, name: str) -> int:
        return self._get(name)[0]

    def payload(self, name: str) -> int:
        return self._get(name)[1]

    def address(self, name: str) -> int:
        param, payload = self._get(name)
        return (param << 32 | payload) & ((1 << _ADDRESS_BITS) - 1)

    def stride(self, name: str) -> int:
        return _signed(self.address(name), _ADDRESS_BITS)

    def region(self, name: str) -> int:
        value = self.param(name)
        if value >= _REGIONS:
            raise self.error(f"{name} is {value:#x}, expected a region below {_REGIONS}")
        return value

    def enum(self, enum_type: Callable[[int], _E], value: int, name: str) -> _E:
        try:
            return enum_type(value)
        except ValueError:
            raise self.error(f"{name} has unknown value {value}") from None

    def dtype(self, name: str, type_bit: int, size_bits: int) -> str:
        size = {0: 1, 1: 2, 2: 4}.get(size_bits)
        if size is None:
            raise self.error(f"{name} has unknown precision {size_bits}")
        return f"<{'i' if type_bit else 'u'}{size}"

    def layout(self, bits: int, name: str) -> Layout:
        if bits > 1:
            raise self.error(f"{name} has unknown layout {bits}")
        return Layout.NHCWB16 if bits else Layout.NHWC


def _value_for(dtype: str, param: int) -> int:
    return _signed(param, 16) if dtype[1] == "i" else param


def _feature_map(
    regs: Registers, prefix: str, shape: tuple[int, int, int], dtype: str, layout: Layout
) -> FeatureMap:
    b0, b1, b2, b3 = (regs.address(f"{prefix}_BASE{i}") for i in range(4))
    return FeatureMap(
        region=regs.region(f"{prefix}_REGION"),
        bases=(b0, b1, b2, b3),
        height0=regs.param(f"{prefix}_HEIGHT0_M1") + 1,
        height1=regs.param(f"{prefix}_HEIGHT1_M1") + 1,
        width0=regs.param(f"{prefix}_WIDTH0_M1") + 1,
        shape=shape,
        stride_y=regs.stride(f"{prefix}_STRIDE_Y"),
        stride_x=regs.stride(f"{prefix}_STRIDE_X"),
        stride_c=regs.stride(f"{prefix}_STRIDE_C"),
        dtype=dtype,
        layout=layout,
        zero_point=_value_for(dtype, regs.param(f"{prefix}_ZERO_POINT")),
    )


def _ofm(regs: Registers) -> FeatureMap:
    precision = regs.param("OFM_PRECISION")
    dtype = regs.dtype("OFM_PRECISION", precision & 1, precision >> 1 & 3)
    layout = regs.layout(precision >> 6 & 3, "OFM_PRECISION")
    shape = (
        regs.param("OFM_HEIGHT_M1") + 1,
        regs.param("OFM_WIDTH_M1") + 1,
        regs.param("OFM_DEPTH_M1") + 1,
    )
    return _feature_map(regs, "OFM", shape, dtype, layout)


def _ifm(regs: Registers, height: int, width: int) -> FeatureMap:
    if height <= 0 or width <= 0:
        raise regs.error(f"kernel, stride and padding leave an input of {height} x {width}")
    precision = regs.param("IFM_PRECISION")
    dtype = regs.dtype("IFM_PRECISION", precision & 1, precision >> 2 & 3)
    layout = regs.layout(precision >> 6 & 3, "IFM_PRECISION")
    shape = (height, width, regs.param("IFM_DEPTH_M1") + 1)
    return _feature_map(regs, "IFM", shape, dtype, layout)


def _kernel(regs: Registers) -> Kernel:
    stride = regs.param("KERNEL_STRIDE")
    if stride & ~0x25F:
        raise regs.error(f"KERNEL_STRIDE {stride:#x} has unknown bits set")
    dilation_x, dilation_y = (stride >> 3 & 1) + 1, (stride >> 4 & 1) + 1
    height_m1, width_m1 = regs.param("KERNEL_HEIGHT_M1"), regs.param("KERNEL_WIDTH_M1")
    if height_m1 % dilation_y or width_m1 % dilation_x:
        raise regs.error("dilated kernel size does not match its dilation")
    kernel = Kernel(
        height=height_m1 // dilation_y + 1,
        width=width_m1 // dilation_x + 1,
        stride_y=(stride >> 1 & 1 | (stride >> 9 & 1) << 1) + 1,
        stride_x=(stride & 1 | (stride >> 6 & 1) << 1) + 1,
        dilation_y=dilation_y,
        dilation_x=dilation_x,
        pad_top=regs.param("IFM_PAD_TOP"),
        pad_left=regs.param("IFM_PAD_LEFT"),
        pad_bottom=regs.param("IFM_PAD_BOTTOM"),
        pad_right=regs.param("IFM_PAD_RIGHT"),
    )
    if (
        max(kernel.pad_top, kernel.pad_bottom) >= kernel.dilated_height
        or max(kernel.pad_left, kernel.pad_right) >= kernel.dilated_width
    ):
        raise regs.error("padding is as wide as the kernel")
    return kernel


def _output(regs: Registers, ofm_dtype: str) -> Output:
    precision, value = regs.param("OFM_PRECISION"), regs.param("ACTIVATION")
    function, clip = value & 0xFFF, value >> 12
    if clip not in _CLIP_DTYPES:
        raise regs.error(f"ACTIVATION has unknown clip range {clip}")
    table = function - Activation.TABLE_0 if function >= Activation.TABLE_0 else 0
    if table >= 8:
        raise regs.error(f"ACTIVATION names table {table}, expected 0 to 7")
    minimum, maximum = regs.param("ACTIVATION_MIN"), regs.param("ACTIVATION_MAX")
    scale_is_global = bool(precision >> 8 & 1)
    return Output(
        rounding=regs.enum(Rounding, precision >> 14, "OFM_PRECISION rounding"),
        activation=regs.enum(Activation, function - table, "ACTIVATION"),
        table=table,
        minimum=_value_for(ofm_dtype, minimum),
        maximum=_value_for(ofm_dtype, maximum),
        scale=regs.payload("OFM_SCALE") if scale_is_global else None,
        shift=regs.param("OFM_SCALE") & 0x3F if scale_is_global else 0,
        clip_dtype=_CLIP_DTYPES[clip],
    )


def _common(regs: Registers, ofm: FeatureMap) -> dict[str, Any]:
    accumulator = regs.param("ACC_FORMAT")
    if accumulator > 1:
        raise regs.error(f"ACC_FORMAT {accumulator} is not an integer format")
    return {
        "upscale": regs.enum(Upscale, regs.param("IFM_UPSCALE"), "IFM_UPSCALE"),
        "output": _output(regs, ofm.dtype),
        "block": tuple(
            regs.param(f"OFM_BLK_{axis}_M1") + 1 for axis in ("HEIGHT", "WIDTH", "DEPTH")
        ),
        "blockdep": regs.param("BLOCKDEP"),
        "accumulator_bits": 40 if accumulator else 32,
    }


def _byte_range(regs: Registers, prefix: str) -> ByteRange:
    return ByteRange(
        regs.region(f"{prefix}_REGION"),
        regs.address(f"{prefix}_BASE"),
        regs.payload(f"{prefix}_LENGTH"),
    )


def _input_extent(output: int, stride: int, dilated: int, padding: int, upscale: Upscale) -> int:
    extent = (output - 1) * stride + dilated - padding
    return extent if upscale is Upscale.NONE else -(-extent // 2)


def _kernel_operation(regs: Registers) -> dict[str, Any]:
    ofm, kernel = _ofm(regs), _kernel(regs)
    common = _common(regs, ofm)
    height = _input_extent(
        ofm.shape[0], kernel.stride_y, kernel.dilated_height,
        kernel.pad_top + kernel.pad_bottom, common["upscale"],
    )  # fmt: skip
    width = _input_extent(
        ofm.shape[1], kernel.stride_x, kernel.dilated_width,
        kernel.pad_left + kernel.pad_right, common["upscale"],
    )  # fmt: skip
    return {"ifm": _ifm(regs, height, width), "ofm": ofm, "kernel": kernel, **common}


def _convolution(regs: Registers, wait: dict[str, Any], depthwise: bool) -> Convolution:
    fields = _kernel_operation(regs)
    if depthwise and fields["ifm"].shape[2] != fields["ofm"].shape[2]:
        raise regs.error("depthwise input and output depths differ")
    return Convolution(
        **wait,
        **fields,
        depthwise=depthwise,
        part_kernel_first=bool(regs.param("KERNEL_STRIDE") >> 2 & 1) and not depthwise,
        weights=_byte_range(regs, "WEIGHT"),
        scales=_byte_range(regs, "SCALE"),
    )


def _pooling(regs: Registers, wait: dict[str, Any]) -> Pooling:
    fields = _kernel_operation(regs)
    mode = regs.enum(PoolMode, regs.command.param, "pooling mode")
    expected_depth = 1 if mode is PoolMode.REDUCE_SUM else fields["ifm"].shape[2]
    if fields["ofm"].shape[2] != expected_depth:
        raise regs.error(f"output depth {fields['ofm'].shape[2]}, expected {expected_depth}")
    return Pooling(**wait, **fields, mode=mode)


def _elementwise(regs: Registers, wait: dict[str, Any]) -> Elementwise:
    mode = regs.enum(ElementwiseMode, regs.command.param, "elementwise mode")
    ofm = _ofm(regs)
    ifm = _ifm(regs, ofm.shape[0], ofm.shape[1])
    if ifm.shape != ofm.shape:
        raise regs.error(f"input shape {ifm.shape} differs from output shape {ofm.shape}")
    precision = regs.param("IFM_PRECISION")
    ifm2, scalar, zero_point2, is_reversed = None, None, 0, False
    if mode not in UNARY_MODES:
        broadcast = regs.param("IFM2_BROADCAST")
        is_reversed = bool(broadcast >> 6 & 1)
        zero_point2 = _value_for(ifm.dtype, regs.param("IFM2_ZERO_POINT"))
        if broadcast >> 7 & 1:
            scalar = _value_for(ifm.dtype, regs.param("IFM2_SCALAR"))
        else:
            ifm2 = _ifm2(regs, ofm.shape, broadcast)
    scaled = mode in (ElementwiseMode.ADD, ElementwiseMode.SUB)
    return Elementwise(
        **wait,
        **_common(regs, ofm),
        ifm=ifm,
        ofm=ofm,
        mode=mode,
        ifm2=ifm2,
        scalar=scalar,
        ifm2_zero_point=zero_point2,
        reversed_operands=is_reversed,
        operand_scale=regs.enum(OperandScale, precision >> 8 & 3, "IFM_PRECISION scale mode"),
        opa_scale=regs.payload("OPA_SCALE") if scaled else 1,
        opa_shift=regs.param("OPA_SCALE") & 0x3F if scaled else 0,
        opb_scale=regs.payload("OPB_SCALE") if scaled else 1,
        ifm_rounding=regs.enum(Rounding, precision >> 14, "IFM_PRECISION rounding"),
    )


def _ifm2(regs: Registers, shape: tuple[int, int, int], broadcast: int) -> FeatureMap:
    precision = regs.param("IFM2_PRECISION")
    height, width, depth = (1 if broadcast >> axis & 1 else shape[axis] for axis in range(3))
    dtype = regs.dtype("IFM2_PRECISION", precision & 1, precision >> 2 & 3)
    layout = regs.layout(precision >> 6 & 3, "IFM2_PRECISION")
    return _feature_map(regs, "IFM2", (height, width, depth), dtype, layout)


def _dma(regs: Registers, wait: dict[str, Any]) -> Dma:
    if regs.command.param:
        raise regs.error(
            f"DMA channel and mode {regs.command.param:#x} are not supported, expected 0"
        )
    length = regs.address("DMA0_LEN")
    ranges = []
    for side in ("SRC", "DST"):
        value = regs.param(f"DMA0_{side}_REGION")
        if value & ~0x1FF or value & 0xFF >= _REGIONS:
            raise regs.error(
                f"DMA0_{side}_REGION {value:#x}: only one-dimensional copies between regions"
            )
        ranges.append(
            ByteRange(value & 0xFF, regs.address(f"DMA0_{side}"), length, bool(value >> 8))
        )
    return Dma(**wait, source=ranges[0], destination=ranges[1])


def build_program(commands: Iterable[Command]) -> tuple[Operation, ...]:
    """Replays commands and returns the operations in stream order.

    Raises:
        StreamError: naming the command and its index, for anything the NPU does not define.
    """
    operations: list[Operation] = []
    regs: Registers | None = None
    waits: dict[str, int | None] = {"kernel_wait": None, "dma_wait": None}
    for command in commands:
        if regs is None:
            regs = Registers(command)
        regs.command = command
        name = command.name
        if name.startswith("NPU_SET_"):
            regs.values[name] = (command.param, command.payload or 0)
            continue
        if name == "NPU_OP_STOP":
            return tuple(operations)
        if name in ("NPU_OP_KERNEL_WAIT", "NPU_OP_DMA_WAIT"):
            key = "kernel_wait" if "KERNEL" in name else "dma_wait"
            allowed = command.param & 0xF
            waits[key] = allowed if waits[key] is None else min(allowed, waits[key] or 0)
            continue
        wait = {
            "command_index": command.index,
            "command_offset": command.offset_bytes,
            "command": name,
            **waits,
        }
        waits = {"kernel_wait": None, "dma_wait": None}
        if name == "NPU_OP_CONV":
            operations.append(_convolution(regs, wait, depthwise=False))
        elif name == "NPU_OP_DEPTHWISE":
            operations.append(_convolution(regs, wait, depthwise=True))
        elif name == "NPU_OP_POOL":
            operations.append(_pooling(regs, wait))
        elif name == "NPU_OP_ELEMENTWISE":
            operations.append(_elementwise(regs, wait))
        elif name == "NPU_OP_DMA_START":
            operations.append(_dma(regs, wait))
        else:
            raise regs.error("command is not emulated")
    raise StreamError("stream ends without NPU_OP_STOP", len(operations), "end of stream")
