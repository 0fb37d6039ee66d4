"""Losslessly smaller weights for boards that copy them to SRAM at boot.

An entropy coder whose model is learned while it codes, after the idea of OctSqueeze (Huang et al.,
CVPR 2020) that contexts of a sparse structure predict its symbols. Reconstructed here: the symbols
are those of Vela's own weight streams, walked chunk by chunk, and of the scale records between
them, so that what is decoded is Vela's file byte for byte. In the network's place are counters by
context, which need no bytes of their own and no arithmetic in floating point: a probability is the
mean of a fast and a slow counter of the bits that have been seen in a context. The coder is the
binary range coder of LZMA. `firmware/model/packed_weights.cpp` decodes.
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
from pipeline.ethosu.weight_codec import bits_at

Bytes = NDArray[np.uint8]

_HEADER_FIELDS = struct.Struct("<III")
_KIND_BITS = 2
_UNDEFINED, _LARGEST_RUN_WIDTH, _NOT_A_STREAM = 6, 3, -1

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
def _stream_events(data, contexts, bits, n):  # type: ignore[no-untyped-def]
    """A weight stream as `pipeline.ethosu.weight_codec` reads it, or `_NOT_A_STREAM`."""
    end, pos = 8 * len(data), 0
    palette_size = index_bits = 0
    w_q, z_q = np.zeros(12, np.int64), np.zeros(12, np.int64)
    w_pending, z_pending = np.zeros(12, np.int64), np.zeros(12, np.int64)
    while pos < end:
        if pos + 3 > end:
            return _NOT_A_STREAM
        z_div = bits_at(data, pos, 3)
        n = _flat(contexts, bits, n, _HEADER, z_div, 3)
        pos += 3
        if z_div == 7:
            while pos & 7:
                n = _flat(contexts, bits, n, _PADDING, bits_at(data, pos, 1), 1)
                pos += 1
            continue
        if pos + 20 > end:
            return _NOT_A_STREAM
        n = _flat(contexts, bits, n, _HEADER + 3, bits_at(data, pos, 20), 20)
        runs = z_div != 6
        n_values = bits_at(data, pos, 15) + 1
        w_div = bits_at(data, pos + 15, 3)
        truncated = bits_at(data, pos + 18, 1)
        new_palette = bits_at(data, pos + 19, 1)
        pos += 20
        if new_palette:
            if pos + 13 > end:
                return _NOT_A_STREAM
            n = _flat(contexts, bits, n, _PALETTE_HEADER, bits_at(data, pos, 13), 13)
            palette_size = bits_at(data, pos + 5, 5)
            palette_size += palette_size > 0
            index_bits = bits_at(data, pos + 10, 3) + 2
            pos += 13
            if pos + palette_size * index_bits > end:
                return _NOT_A_STREAM
            for _ in range(palette_size):
                n = _flat(contexts, bits, n, _PALETTE, bits_at(data, pos, index_bits), index_bits)
                pos += index_bits
        uncompressed = w_div == 7
        if w_div == _UNDEFINED or (runs and z_div > _LARGEST_RUN_WIDTH):
            return _NOT_A_STREAM
        if uncompressed:
            w_div = index_bits
            if palette_size > 0:
                w_div = 0
                while (1 << w_div) < palette_size:
                    w_div += 1
            if w_div == 0:
                return _NOT_A_STREAM
        n_runs = n_values + new_palette if runs else 0
        z_unary = 12 if z_div < 3 else 8
        w_symbols = 8 if uncompressed and w_div > 5 else 12
        w_pos = z_pos = w_done = z_done = w_carry = z_carry = 0
        w_waiting = z_waiting = 0
        more = True
        while more:
            balance = w_pos - z_pos if runs else 0
            w_on = (balance < 8 or not runs) and w_pos < n_values
            z_on = runs and balance >= 0 and z_pos < n_runs
            w_bits = w_on and not uncompressed
            first = pos
            pos += (12 if w_bits else 0) + (z_unary if z_on else 0)
            if pos > end:
                return _NOT_A_STREAM
            n_w = n_z = 0
            if w_on:
                for i in range(w_symbols):
                    code = 0
                    if w_bits:
                        code = bits_at(data, first + i, 1)
                        context = _WEIGHT_CODE + 2 * min(w_carry, 7)
                        contexts[n], bits[n] = context, code
                        n += 1
                        if code:
                            if pos >= end:
                                return _NOT_A_STREAM
                            second = bits_at(data, pos, 1)
                            pos += 1
                            contexts[n], bits[n] = context + 1, second
                            n += 1
                            code += second
                    w_carry += code
                    if code < 2 or truncated:
                        w_q[n_w] = w_carry
                        n_w += 1
                        w_carry = 0
                w_pos += n_w
            if z_on:
                at = first + (12 if w_bits else 0)
                for i in range(z_unary):
                    bit = bits_at(data, at + i, 1)
                    contexts[n], bits[n] = _RUN_CODE + min(z_carry, 7), bit
                    n += 1
                    if bit:
                        z_carry += 1
                    else:
                        z_q[n_z] = z_carry
                        n_z += 1
                        z_carry = 0
                z_pos += n_z
            count = min(w_waiting, n_values - w_done)
            if pos + count * w_div > end:
                return _NOT_A_STREAM
            for i in range(count):
                quotient = _WEIGHT_REST + 32 * min(w_pending[i], 7)
                base = _PLAIN_WEIGHT if uncompressed else quotient
                n = _tree(contexts, bits, n, base, bits_at(data, pos, w_div), w_div)
                pos += w_div
            w_done += count
            count = min(z_waiting, n_runs - z_done)
            z_width = z_div if runs else 0
            if pos + count * z_width > end:
                return _NOT_A_STREAM
            for i in range(count):
                base = _RUN_REST + 8 * min(z_pending[i], 3)
                n = _tree(contexts, bits, n, base, bits_at(data, pos, z_div), z_div)
                pos += z_div
            z_done += count
            more = w_on or z_on
            w_waiting, z_waiting = n_w, n_z
            w_pending[:], z_pending[:] = w_q, z_q
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
        kind, after = part.kind, _NOT_A_STREAM
        if kind is Kind.WEIGHTS:
            after = _stream_events(piece, contexts, bits, count)
        if kind is Kind.SCALES:
            after = _scale_events(piece, contexts, bits, count)
        if after == _NOT_A_STREAM:
            kind, after = Kind.BYTES, _byte_events(piece, contexts, bits, count)
        count = after
        table += struct.pack("<I", part.size << _KIND_BITS | kind)
    header = _HEADER_FIELDS.pack(len(content), zlib.crc32(content), len(parts))
    return header + table + _coded(contexts, bits, count).tobytes()
