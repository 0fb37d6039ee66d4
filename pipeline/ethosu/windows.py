"""Kernel windows over an input feature map, for convolution and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .memory import RegionMemory
from .operations import Convolution, Kernel, Pooling, Upscale


def zero_point_magnitude(dtype: str, zero_point: int) -> int:
    """Largest absolute value of (element - zero point)."""
    limits = np.iinfo(dtype)
    return max(int(limits.max) - zero_point, zero_point - int(limits.min))


def upscaled(values: NDArray[Any], mode: Upscale, height: int, width: int) -> NDArray[Any]:
    """Doubles rows and columns by repetition or zeros, cut to (height, width)."""
    if mode is Upscale.NONE:
        return values
    if mode is Upscale.NEAREST:
        return values.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    wide = np.zeros((2 * values.shape[0], 2 * values.shape[1], values.shape[2]), values.dtype)
    wide[::2, ::2] = values
    return wide[:height, :width]


class WindowReader:
    """Reads the IFM less its zero point and cuts it into kernel windows.

    `height` and `width` are what the windows need of the input, upscaled and without padding.
    """

    def __init__(self, op: Convolution | Pooling, memory: RegionMemory, dtype: type) -> None:
        kernel = op.kernel
        self.kernel = kernel
        self.dtype = dtype
        self._ifm = memory.feature_map(op.ifm, op)
        self._zero_point = op.ifm.zero_point
        self._upscale = op.upscale
        padded_height = (op.ofm.shape[0] - 1) * kernel.stride_y + kernel.dilated_height
        padded_width = (op.ofm.shape[1] - 1) * kernel.stride_x + kernel.dilated_width
        self.height = padded_height - kernel.pad_top - kernel.pad_bottom
        self.width = padded_width - kernel.pad_left - kernel.pad_right
        self._pad = (
            (kernel.pad_top, kernel.pad_bottom),
            (kernel.pad_left, kernel.pad_right),
            (0, 0),
        )

    def read(self) -> NDArray[Any]:
        """IFM less zero point, upscaled, without padding."""
        values: NDArray[Any] = self._ifm.read().astype(self.dtype)
        if self._zero_point:
            values -= self._zero_point
        return upscaled(values, self._upscale, self.height, self.width)

    def windows(self, values: NDArray[Any], fill: int = 0) -> NDArray[Any]:
        """Shape (out rows, out columns, depth, kernel rows, kernel columns); padding is `fill`."""
        if self.kernel.padded:
            values = np.pad(values, self._pad, constant_values=fill)
        return kernel_windows(values, self.kernel)


def kernel_windows(values: NDArray[Any], kernel: Kernel) -> NDArray[Any]:
    """Strided, dilated windows over the first two axes, taps last."""
    shape = (kernel.dilated_height, kernel.dilated_width)
    views = sliding_window_view(values, shape, axis=(0, 1))
    return views[
        :: kernel.stride_y, :: kernel.stride_x, :, :: kernel.dilation_y, :: kernel.dilation_x
    ]
