"""Where TFLite's desktop reference kernels differ from TFLite Micro's, which the NPU follows.

For these families TFLite Micro's reference kernels are the ones the emulator must equal bit for
bit; against TFLite itself the largest difference, in quantized steps, is bounded here.
"""

from __future__ import annotations

KNOWN_DIFFERENCES = {
    "fully_connected_int8": (
        "TFLite 2.21 rounds fully connected results once, TFLite Micro and the NPU twice",
        1,
    ),
    "fully_connected_int16": (
        "TFLite 2.21 keeps 32-bit multipliers in fully connected layers, Micro and Vela 16 bits",
        1,
    ),
    "abs__int16": (
        "TFLite 2.21 divides input by output scale in single precision, Micro and Vela in double",
        1,
    ),
}
