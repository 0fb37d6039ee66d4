"""How much memory a firmware image takes, read from its ELF file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from pipeline.runners import TargetError

# ELF section header: types and flags.
_CONTENT, _NO_CONTENT = 1, 8
_IS_LOADED, _IS_WRITABLE = 2, 1
# Memory that the firmware lends to engines; the model's own use of it is reported.
_SHARED_MEMORY_SECTIONS = {".arena"}


@dataclass(frozen=True)
class ImageSize:
    """What a firmware image takes without any model: bytes of flash and of RAM, stacks included."""

    flash_bytes: int
    ram_bytes: int


def image_size(image: Path) -> ImageSize:
    """Add up the loaded sections of a 32-bit ELF file.

    Raises:
        TargetError: not such a file.
    """
    content = image.read_bytes()
    try:
        if content[:5] != b"\x7fELF\x01":
            raise TargetError(f"{image}: not a 32-bit ELF file")
        (table,) = struct.unpack_from("<I", content, 32)
        size, count, names_index = struct.unpack_from("<HHH", content, 46)
        headers = [struct.unpack_from("<6I", content, table + size * i) for i in range(count)]
        names_offset = headers[names_index][4]
    except (struct.error, IndexError) as error:
        raise TargetError(f"{image}: damaged ELF file ({error})") from error
    flash = ram = 0
    for name, kind, flags, _, _, length in headers:
        text = content[names_offset + name :].partition(b"\0")[0].decode(errors="replace")
        if not flags & _IS_LOADED or text in _SHARED_MEMORY_SECTIONS:
            continue
        flash += length if kind != _NO_CONTENT else 0
        # Tables of constructors are marked writable too, but stay in flash.
        ram += length if flags & _IS_WRITABLE and kind in (_CONTENT, _NO_CONTENT) else 0
    return ImageSize(flash, ram)
