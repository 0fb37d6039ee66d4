"""Decodes Arm's "mlw" weight streams, bounded and safe for hostile bytes.

`ethosu.mlw_codec.decode`, shipped with Vela, ends the whole process when a stream is cut short, so
it cannot be given data that was not checked. This decoder reads the same format, stops at the
number of weights asked for, and reports damage as an error; the tests hold the two equal.

Format: bits come least significant first. A stream is a row of slices, each a header (3 bits
divisor of zero runs, 15 bits weight count - 1, 3 bits divisor of weights, 1 bit truncated unary,
1 bit new palette), an optional palette, and chunks. A chunk holds up to 12 Golomb-Rice quotients
of weight indices and, unless zero runs are off, 12 or 8 of zero runs; remainders of a chunk follow
the quotients of the next one. A weight index below the palette size selects a palette entry, any
other is a value itself; entries are sign (bit 0) and magnitude.

One walk along a stream serves both who wants the weights and who wants to know where its fields
lie, as `pipeline.boards.packed_weights` does.
"""

from __future__ import annotations

import logging
from enum import IntEnum
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

_ZERO_RUNS_OFF, _END_OF_STREAM, _UNCOMPRESSED = 6, 7, 7
_MAX_SYMBOLS = 12
_MAX_INDEX = 512

_OK, _TRUNCATED, _BAD_HEADER, _BAD_INDEX, _TOO_LONG = range(5)
_MESSAGES = {
    _TRUNCATED: "weight stream ends in the middle of a slice",
    _BAD_HEADER: "weight stream has an undefined slice header",
    _BAD_INDEX: "weight stream holds an index beyond 9 bits",
}


class Field(IntEnum):
    """Kinds of field of a stream."""

    RUN_WIDTH = 0  # of a slice
    SLICE = 1  # rest of its header
    PADDING = 2  # a bit
    PALETTE = 3  # its header
    ENTRY = 4  # of a palette
    VALUE_CODE = 5  # first bit of a unary code, in the context of its quotient so far
    VALUE_CODE_SECOND = 6  # its second bit
    RUN_CODE = 7  # a bit of a unary code
    VALUE_REST = 8  # lower bits, in the context of the quotient
    PLAIN_VALUE = 9  # without a quotient
    RUN_REST = 10


# As numba knows them.
_RUN_WIDTH, _SLICE, _PADDING, _PALETTE, _ENTRY = range(5)
_VALUE_CODE, _VALUE_CODE_SECOND, _RUN_CODE, _VALUE_REST, _PLAIN_VALUE, _RUN_REST = range(5, 11)

_log = logging.getLogger(__name__)


class WeightStreamError(ValueError):
    """The stream does not decode to the weights its operation consumes."""


def decode_stream(stream: NDArray[np.uint8], count: int) -> NDArray[np.int16]:
    """The `count` weights of a stream, in stream order.

    Raises:
        WeightStreamError: damaged stream, or one that holds more or fewer weights.
    """
    _announce_compilation()
    weights = np.zeros(int(count), np.int16)
    # A copy is writable and contiguous whatever the stream is: one type, one compilation.
    status, found, _ = _walk(np.array(stream, np.uint8), weights, np.zeros((0, 4), np.int32))
    if status in _MESSAGES:
        raise WeightStreamError(_MESSAGES[status])
    if status == _TOO_LONG or found != count:
        amount = "more" if status == _TOO_LONG else str(found)
        raise WeightStreamError(f"weight stream holds {amount} weights, expected {count}")
    return weights


def fields_of(stream: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Rows of kind (`Field`), quotient, first bit and number of bits for all bits of a stream, in
    an order in which each field can be told from those before it.

    Raises:
        WeightStreamError: the bytes are no stream.
    """
    _announce_compilation()
    # No field has less than a bit.
    fields = np.zeros((8 * len(stream), 4), np.int32)
    status, _, found = _walk(np.array(stream, np.uint8), np.zeros(0, np.int16), fields)
    if status != _OK:
        raise WeightStreamError(_MESSAGES[status])
    return fields[:found]


def _announce_compilation() -> None:
    """Says why the first model on a machine takes seconds longer; numba's cache holds the rest."""
    compiled = Path(_walk.stats.cache_path or ".").glob("weight_codec._walk-*.nbc")
    if not _walk.signatures and not any(compiled):
        _log.warning("compiling the weight decoder for this machine, once: some seconds")


# With a signature of its own it is compiled once, not for every mixture of integer types.
@numba.njit(numba.int64(numba.uint8[::1], numba.int64, numba.int64), cache=True)
def bits_at(data, position, count):  # type: ignore[no-untyped-def]
    """`count` bits at bit `position`; the caller has checked that they exist."""
    value = 0
    for i in range(count):
        at = position + i
        value |= ((data[at >> 3] >> (at & 7)) & 1) << i
    return value


@numba.njit(cache=True)
def _note(fields, n, kind, quotient, position, width):  # type: ignore[no-untyped-def]
    """Write a field down, if there is where; returns the number of fields so far."""
    if width > 0 and n < len(fields):
        fields[n, 0], fields[n, 1], fields[n, 2], fields[n, 3] = kind, quotient, position, width
        n += 1
    return n


@numba.njit(cache=True)
def _walk(data, weights, fields):  # type: ignore[no-untyped-def]
    """Returns (status, number of weights found, number of fields found).

    Fills `fields`, or, where it has no rows, `weights`.
    """
    decodes, count = len(fields) == 0, len(weights)
    end, pos, found, n = 8 * len(data), 0, 0, 0
    palette = np.zeros(32, np.int32)
    palette_size = index_bits = direct_offset = 0
    first, had_runs = True, False
    w_values, z_values = np.zeros(1 << 15, np.int32), np.zeros((1 << 15) + 1, np.int32)
    w_quotients, z_quotients = np.zeros(_MAX_SYMBOLS, np.int32), np.zeros(_MAX_SYMBOLS, np.int32)
    w_pending, z_pending = np.zeros(_MAX_SYMBOLS, np.int32), np.zeros(_MAX_SYMBOLS, np.int32)
    while True:
        # Slice header; an end-of-stream mark aligns to a byte and may be followed by more.
        if pos + 3 > end:
            return (_OK if pos == end else _TRUNCATED), found, n
        z_div = bits_at(data, pos, 3)
        n = _note(fields, n, _RUN_WIDTH, 0, pos, 3)
        pos += 3
        if z_div == _END_OF_STREAM:
            while pos & 7:
                n = _note(fields, n, _PADDING, 0, pos, 1)
                pos += 1
            first = True
            continue
        if pos + 20 > end:
            return _TRUNCATED, found, n
        runs = z_div != _ZERO_RUNS_OFF
        n_values = bits_at(data, pos, 15) + 1
        w_div = bits_at(data, pos + 15, 3)
        truncated_unary = bits_at(data, pos + 18, 1)
        new_palette = bits_at(data, pos + 19, 1)
        n = _note(fields, n, _SLICE, 0, pos, 20)
        pos += 20
        if (runs and z_div > 3) or w_div == 6:
            return _BAD_HEADER, found, n
        if not new_palette and (first or runs != had_runs):
            return _BAD_HEADER, found, n
        first, had_runs = False, runs
        if new_palette:
            if pos + 13 > end:
                return _TRUNCATED, found, n
            direct_offset = bits_at(data, pos, 5)
            palette_size = bits_at(data, pos + 5, 5)
            palette_size += palette_size > 0
            index_bits = bits_at(data, pos + 10, 3) + 2
            n = _note(fields, n, _PALETTE, 0, pos, 13)
            pos += 13
            if pos + palette_size * index_bits > end:
                return _TRUNCATED, found, n
            for i in range(palette_size):
                palette[i] = bits_at(data, pos, index_bits)
                n = _note(fields, n, _ENTRY, 0, pos, index_bits)
                pos += index_bits
        uncompressed = w_div == _UNCOMPRESSED
        if uncompressed:
            w_div = index_bits
            if palette_size > 0:
                w_div = 0
                while (1 << w_div) < palette_size:
                    w_div += 1
        # Chunks: quotients of this chunk, then remainders of the one before.
        n_runs = n_values + new_palette if runs else 0
        z_unary_bits = 12 if z_div < 3 else 8
        w_symbols = 8 if uncompressed and w_div > 5 else 12
        w_pos = z_pos = w_done = z_done = w_carry = z_carry = 0
        w_waiting = z_waiting = 0
        more = True
        while more:
            balance = w_pos - z_pos if runs else 0
            w_enabled = (balance < 8 or not runs) and w_pos < n_values
            z_enabled = runs and balance >= 0 and z_pos < n_runs
            # The first bits of values' codes lie before the runs' codes, the second bits after.
            w_at = pos
            z_at = w_at + (12 if w_enabled and not uncompressed else 0)
            pos = z_at + (z_unary_bits if z_enabled else 0)
            if pos > end:
                return _TRUNCATED, found, n
            n_z = n_w = 0
            if w_enabled:
                for i in range(w_symbols):
                    code = 0
                    if not uncompressed:
                        code = bits_at(data, w_at + i, 1)
                        n = _note(fields, n, _VALUE_CODE, w_carry, w_at + i, 1)
                    if code:
                        if pos >= end:
                            return _TRUNCATED, found, n
                        code += bits_at(data, pos, 1)
                        n = _note(fields, n, _VALUE_CODE_SECOND, w_carry, pos, 1)
                        pos += 1
                    w_carry += code
                    if code < 2 or truncated_unary:
                        w_quotients[n_w] = w_carry
                        n_w += 1
                        w_carry = 0
                w_pos += n_w
            if z_enabled:
                for i in range(z_unary_bits):
                    n = _note(fields, n, _RUN_CODE, z_carry, z_at + i, 1)
                    if bits_at(data, z_at + i, 1):
                        z_carry += 1
                    else:
                        z_quotients[n_z] = z_carry
                        n_z += 1
                        z_carry = 0
                z_pos += n_z
            w_count, z_count = min(w_waiting, n_values - w_done), min(z_waiting, n_runs - z_done)
            if pos + w_count * w_div + (z_count * z_div if runs else 0) > end:
                return _TRUNCATED, found, n
            rest = _PLAIN_VALUE if uncompressed else _VALUE_REST
            for i in range(w_count):
                w_values[w_done] = (w_pending[i] << w_div) + bits_at(data, pos, w_div)
                n = _note(fields, n, rest, w_pending[i], pos, w_div)
                pos += w_div
                w_done += 1
            for i in range(z_count):
                z_values[z_done] = (z_pending[i] << z_div) + bits_at(data, pos, z_div)
                n = _note(fields, n, _RUN_REST, z_pending[i], pos, z_div)
                pos += z_div
                z_done += 1
            more = w_enabled or z_enabled
            w_waiting, z_waiting = n_w, n_z
            w_pending[:] = w_quotients
            z_pending[:] = z_quotients
        if not decodes:
            continue
        # Interleave weights and runs of zeros.
        if runs and new_palette:
            found += z_values[0]
        for i in range(n_values):
            index = w_values[i]
            if index >= _MAX_INDEX:
                return _BAD_INDEX, found, n
            value = palette[index] if index < palette_size else index - palette_size + direct_offset
            if found >= count:
                return _TOO_LONG, found, n
            weights[found] = -(value >> 1) if value & 1 else value >> 1
            found += 1
            if runs:
                found += z_values[i + new_palette]
        if found > count:
            return _TOO_LONG, found, n
