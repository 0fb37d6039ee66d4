"""Weights packed without loss; what the firmware makes of them is tested on the virtual board."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from compiled_enhancer import Compiled

from pipeline.boards.package import pack_npu_model
from pipeline.boards.package_layout import WeightsPlacement
from pipeline.boards.packed_weights import Kind, Part, pack, parts_of
from pipeline.runners import TargetError


def kinds(section: bytes) -> list[int]:
    (count,) = struct.unpack_from("<I", section, 8)
    return [part & 3 for part in struct.unpack_from(f"<{count}I", section, 12)]


def test_parts_are_all_of_the_memory_and_take_less(compiled: Compiled) -> None:
    content, parts = compiled.vela.read_only, parts_of(compiled.vela)
    assert sum(part.size for part in parts) == len(content)
    for kind in Kind:
        assert any(part.kind is kind for part in parts)
    section = pack(content, parts)
    assert kinds(section) == [part.kind for part in parts]
    # Its weights are noise and cannot be smaller; its scale records can.
    assert len(section) < 0.97 * len(content)
    assert len(section) < len(pack(content, [Part(Kind.BYTES, len(content))]))
    assert pack(content, parts) == section


def test_what_is_no_weight_stream_is_coded_as_bytes() -> None:
    random = np.random.default_rng(1)
    for size in (1, 2, 40, 300):
        content = random.integers(0, 256, size, np.uint8).tobytes()
        section = pack(content, [Part(Kind.WEIGHTS, size)])
        assert len(section) < 40 + 1.6 * size
    assert kinds(pack(b"\x55" * 40, [Part(Kind.WEIGHTS, 40)])) == [Kind.BYTES]


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not make up 5 bytes"):
        pack(b"12345", [Part(Kind.BYTES, 4)])


def test_packed_weights_need_a_place_to_be_unpacked_to(compiled: Compiled) -> None:
    with pytest.raises(TargetError, match="Sram_Only"):
        pack_npu_model(
            compiled.vela,
            compiled.front_end,
            placement=WeightsPlacement.FLASH,
            packs_weights=True,
        )
