"""Where Vela's arithmetic is documented or shown to differ from TFLite's reference kernels.

Each entry names the cause and the largest difference allowed, in quantized steps. In all of them
the emulator computes what the command stream says; it is the registers that differ.
"""

from __future__ import annotations

KNOWN_DIFFERENCES = {
    "fully_connected_int16": (
        "Vela rounds multipliers of 16-bit layers to 16 bits, TFLite's FULLY_CONNECTED does not",
        1,
    ),
    "abs__int16": (
        "Vela divides input by output scale in double precision, TFLite's ABS in single",
        1,
    ),
}
