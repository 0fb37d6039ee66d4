"""Losslessly smaller weights for boards that copy them to SRAM at boot.

An entropy coder whose model is learned while it codes, after the idea of OctSqueeze (Huang et al.,
CVPR 2020) that contexts of a sparse structure predict its symbols. Reconstructed here: the symbols
are the fields of Vela's own weight streams and of the scale records between them, so that what is
decoded is Vela's file byte for byte. In the network's place are counters by context, which need no
bytes of their own and no arithmetic in floating point: a probability is the mean of a fast and a
slow counter of the bits that have been seen in a context. The coder is the binary range coder of
LZMA. `firmware/model/packed_weights.cpp` decodes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numba
import numpy as np
from numpy.typing import NDArray

from pipeline.ethosu.model import READ_ONLY_REGION, VelaModel
from pipeline.ethosu.operations import Convolution
from pipeline.ethosu.program import build_program
from pipeline.ethosu.stream import decode_commands
from pipeline.ethosu.weight_codec import Field, WeightStreamError, bits_at, fields_of

Bytes = NDArray[np.uint8]

_HEADER_FIELDS = struct.Struct("<III")
_KIND_BITS = 2

# Contexts, by what is coded; how many each has is the distance to the next.
_HEADER = 0  # bit of a slice header
_PALETTE_HEADER = _HEADER + 23
_PALETTE = _PALETTE_HEADER + 13  # bit of an entry
_PADDING = _PALETTE + 9
_WEIGHT_CODE = _PADDING + 1  # quotient so far, which of two bits
_RUN_CODE = _WEIGHT_CODE + 8 * 2  # quotient so far
_WEIGHT_REST = _RUN_CODE + 8  # quotient, bits so far
_PLAIN_WEIGHT = _WEIGHT_REST + 8 * 32  # bits so far
_RUN_REST = _PLAIN_WEIGHT + 512  # quotient, bits so far
_DIFFERENCE = _RUN_REST + 4 * 8  # bits so far
_BIAS_LOW = _DIFFERENCE + 256  # bit
_BIAS_HIGH = _BIAS_LOW + 8  # bits so far
_EXPECTED = _BIAS_HIGH + 256  # place in the record
_SURPRISE = _EXPECTED + 10  # bit
CONTEXTS = _SURPRISE + 8

# Of each field of a weight stream: first context, distance between those of two quotients, highest
# quotient that is told apart, whether bits depend on those before them in the field.
_OF_FIELD = {
    Field.RUN_WIDTH: (_HEADER, 0, 0, False),
    Field.SLICE: (_HEADER + 3, 0, 0, False),
    Field.PADDING: (_PADDING, 0, 0, False),
    Field.PALETTE: (_PALETTE_HEADER, 0, 0, False),
    Field.ENTRY: (_PALETTE, 0, 0, False),
    Field.VALUE_CODE: (_WEIGHT_CODE, 2, 7, False),
    Field.VALUE_CODE_SECOND: (_WEIGHT_CODE + 1, 2, 7, False),
    Field.RUN_CODE: (_RUN_CODE, 1, 7, False),
    Field.VALUE_REST: (_WEIGHT_REST, 32, 7, True),
    Field.PLAIN_VALUE: (_PLAIN_WEIGHT, 0, 0, True),
    Field.RUN_REST: (_RUN_REST, 8, 3, True),
}
_FIRST, _STEP, _HIGHEST, _IS_TREE = np.array([_OF_FIELD[kind] for kind in Field]).T.copy()


class Kind(IntEnum):
    """What a part of the memory holds."""

    BYTES = 0
    SCALES = 1
    WEIGHTS = 2


@dataclass(frozen=True)
class Part:
    """So many bytes of a kind."""

    kind: Kind
    size: int


@numba.njit(cache=True)
def _tree(contexts, bits, n, base, value, width):  # type: ignore[no-untyped-def]
    """A value of some bits, the highest first, each in the context of those before."""
    node = 1
    for i in range(width - 1, -1, -1):
        bit = value >> i & 1
        contexts[n], bits[n] = base + node, bit
        node = 2 * node + bit
        n += 1
    return n


@numba.njit(cache=True)
def _flat(contexts, bits, n, base, value, width):  # type: ignore[no-untyped-def]
    """A value of some bits, the lowest first, each in a context of its place."""
    for i in range(width):
        contexts[n], bits[n] = base + i, value >> i & 1
        n += 1
    return n


@numba.njit(cache=True)
def _stream_events(data, fields, contexts, bits, n):  # type: ignore[no-untyped-def]
    """The fields of a weight stream, as `pipeline.ethosu.weight_codec.fields_of` finds them."""
    for i in range(len(fields)):
        kind, quotient, position, width = fields[i]
        value = bits_at(data, position, width)
        base = _FIRST[kind] + _STEP[kind] * min(quotient, _HIGHEST[kind])
        if _IS_TREE[kind]:
            n = _tree(contexts, bits, n, base, value, width)
        else:
            n = _flat(contexts, bits, n, base, value, width)
    return n


@numba.njit(cache=True)
def _byte_events(data, contexts, bits, n):  # type: ignore[no-untyped-def]
    """Each byte's difference to the one before, as of tables of a smooth function."""
    before = 0
    for value in data:
        n = _tree(contexts, bits, n, _DIFFERENCE, (value - before) & 255, 8)
        before = value
    return n


@numba.njit(cache=True)
def _scale_events(data, contexts, bits, n):  # type: ignore[no-untyped-def]
    """Records of 40 bits bias, which is small, and 40 bits scale, as in the record before."""
    for i in range(len(data)):
        value, place = data[i], i % 10
        if place == 0:
            n = _flat(contexts, bits, n, _BIAS_LOW, value, 8)
        elif place == 1:
            n = _tree(contexts, bits, n, _BIAS_HIGH, value, 8)
        else:
            if place < 5:
                expected = 255 if data[i - 1] & 128 else 0
            else:
                expected = data[i - 10] if i >= 10 else 0
            contexts[n], bits[n] = _EXPECTED + place, value != expected
            n += 1
            if value != expected:
                n = _flat(contexts, bits, n, _SURPRISE, value, 8)
    return n


@numba.njit(cache=True)
def _coded(contexts, bits, count):  # type: ignore[no-untyped-def]
    """The range coder; every bit costs what its context's counters make of it."""
    fast, slow = np.full(CONTEXTS, 1 << 15), np.full(CONTEXTS, 1 << 15)
    # Longer than any code: a bit costs at most 12.
    out = np.zeros(2 * count + 16, np.uint8)
    size, low, width, cache, waiting = 0, 0, 0xFFFFFFFF, 0, 1
    for i in range(count + 5):
        if i < count:
            c = contexts[i]
            bound = (width >> 12) * min(max((fast[c] + slow[c]) >> 5, 1), 4095)
            if bits[i]:
                width = bound
                fast[c] += ((1 << 16) - fast[c]) >> 4
                slow[c] += ((1 << 16) - slow[c]) >> 7
            else:
                low += bound
                width -= bound
                fast[c] -= fast[c] >> 4
                slow[c] -= slow[c] >> 7
        # After the last bit, five more bytes go out.
        while width < 1 << 24 or i >= count:
            if low < 0xFF000000 or low > 0xFFFFFFFF:
                for _ in range(waiting):
                    out[size] = (cache + (low >> 32)) & 255
                    cache = 255
                    size += 1
                cache, waiting = low >> 24 & 255, 0
            waiting += 1
            low = (low & 0xFFFFFF) << 8
            width = (width << 8) & 0xFFFFFFFF
            if i >= count:
                break
    # The first byte is the cache's, which was empty.
    return out[1:size]


def parts_of(model: VelaModel) -> list[Part]:
    """The read-only memory of a model from first to last byte."""
    found = {}
    for operation in build_program(decode_commands(model.command_words)):
        if isinstance(operation, Convolution):
            for kind, place in (
                (Kind.WEIGHTS, operation.weights),
                (Kind.SCALES, operation.scales),
            ):
                if place.region == READ_ONLY_REGION and not place.internal:
                    found[place.address] = Part(kind, place.length)
    parts, end = [], 0
    for address, part in [*sorted(found.items()), (len(model.read_only), Part(Kind.BYTES, 0))]:
        # Operations may share their constants; what overlaps otherwise is bytes as any others.
        if address < end:
            continue
        parts += [Part(Kind.BYTES, address - end), part]
        end = address + part.size
    return [part for part in parts if part.size]


def pack(content: bytes, parts: Sequence[Part]) -> bytes:
    """A package's section of packed weights.

    Args:
        content: what to unpack at boot.
        parts: of it; weight streams that are none are coded as bytes.

    Raises:
        ValueError: the parts are not as long as the content.
    """
    if sum(part.size for part in parts) != len(content):
        raise ValueError(f"parts {parts} do not make up {len(content)} bytes")
    data = np.frombuffer(content, np.uint8)
    # Every bit is coded once; a surprising byte of a scale record takes one more.
    contexts, bits = np.zeros(9 * data.size, np.int64), np.zeros(9 * data.size, np.uint8)
    table, begin, count = b"", 0, 0
    for part in parts:
        # A copy is writable and contiguous: one type, one compilation.
        piece = np.array(data[begin : begin + part.size])
        begin += part.size
        kind, fields = part.kind, None
        if kind is Kind.WEIGHTS:
            try:
                fields = fields_of(piece)
            except WeightStreamError:
                kind = Kind.BYTES
        if fields is not None:
            count = _stream_events(piece, fields, contexts, bits, count)
        elif kind is Kind.SCALES:
            count = _scale_events(piece, contexts, bits, count)
        else:
            count = _byte_events(piece, contexts, bits, count)
        table += struct.pack("<I", part.size << _KIND_BITS | kind)
    header = _HEADER_FIELDS.pack(len(content), zlib.crc32(content), len(parts))
    return header + table + _coded(contexts, bits, count).tobytes()
