"""Boards that run the firmware, emulated or not, and what goes to them and comes back."""

from pathlib import Path
from typing import Literal, get_args

BoardName = Literal["virtual", "fvp"]
BOARDS: tuple[BoardName, ...] = get_args(BoardName)
# What `make firmware` builds: the board's image, and the NPU that is plugged into QEMU.
FIRMWARE = Path("build/firmware/corstone300/platform/corstone300/enhancer.elf")
PLUGIN = Path("build/firmware/host/virtual/libnpu.so")
