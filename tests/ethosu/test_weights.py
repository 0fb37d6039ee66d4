"""Weight streams: our decoder against Arm's encoder and decoder, for every traversal order."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ethosu import mlw_codec

from pipeline.ethosu import weight_codec
from pipeline.ethosu.weight_codec import WeightStreamError, decode_stream
from pipeline.ethosu.weights import WeightGeometry, decode_scales, decode_weights

DISTRIBUTIONS = {
    "uniform": lambda rng, n: rng.integers(-255, 256, n),
    "narrow": lambda rng, n: rng.integers(-3, 4, n),
    "sparse": lambda rng, n: (rng.random(n) < 0.1) * rng.integers(-127, 128, n),
    "normal": lambda rng, n: np.rint(rng.normal(0, 20, n)).clip(-127, 127).astype(int),
    "few values": lambda rng, n: rng.choice([-90, 3, 17, 55], n),
    "zeros": lambda rng, n: np.zeros(n, int),
}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_streams_decode_as_arms_decoder_does(distribution: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(25):
        weights = DISTRIBUTIONS[distribution](rng, int(rng.integers(1, 5000)))
        stream = bytes(mlw_codec.encode([int(w) for w in weights]))
        decoded = decode_stream(np.frombuffer(stream, np.uint8), len(weights))
        assert np.array_equal(decoded, weights)
        assert np.array_equal(decoded, mlw_codec.decode(bytearray(stream))[: len(weights)])


def test_decoder_is_compiled_once_and_announces_it(tmp_path: Path) -> None:
    stream = np.frombuffer(bytes(mlw_codec.encode([1, 0, -5])), np.uint8)
    for view in (stream, stream.copy(), np.repeat(stream, 2)[::2]):
        for count in (3, np.int64(3), np.int32(3)):
            assert decode_stream(view, count).tolist() == [1, 0, -5]
    assert len(weight_codec._walk.signatures) == 1
    announce = "from pipeline.ethosu import weight_codec; weight_codec._announce_compilation()"
    command = [sys.executable, "-c", announce]
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.startswith("compiling the weight decoder for this machine, once")


@pytest.mark.parametrize("ofm_ublock", [4, 8])
@pytest.mark.parametrize(
    ("depthwise", "part_kernel"), [(False, False), (False, True), (True, False)]
)
@pytest.mark.parametrize("ifm_bits", [8, 16])
def test_weights_return_to_their_places(
    ofm_ublock: int, depthwise: bool, part_kernel: bool, ifm_bits: int
) -> None:
    rng = np.random.default_rng(1)
    shapes = [(24, 3, 3, 16, 16), (7, 1, 1, 40, 8), (33, 9, 5, 3, 16), (17, 8, 11, 24, 32)]
    for (o, h, w, i, block), (dy, dx) in itertools.product(shapes, [(1, 1), (2, 1), (2, 2)]):
        depth = 1 if depthwise else i
        weights = rng.integers(-127, 128, (o, h, w, depth)).astype(np.int16)
        stream, _ = mlw_codec.reorder_encode(
            8, ofm_ublock, weights, block, depthwise, part_kernel, ifm_bits, 8 // dy, 8 // dx
        )
        geometry = WeightGeometry(
            o, h, w, depth, block, ofm_ublock, 8, dy, dx, ifm_bits, depthwise, part_kernel
        )
        decoded = decode_weights(np.frombuffer(bytes(stream), np.uint8), geometry)
        assert np.array_equal(decoded, weights)


def test_wrong_lengths_and_damage_are_errors() -> None:
    weights = list(range(-100, 100))
    stream = np.frombuffer(bytes(mlw_codec.encode(weights)), np.uint8)
    with pytest.raises(WeightStreamError, match="expected 201"):
        decode_stream(stream, 201)
    with pytest.raises(WeightStreamError, match="more weights, expected 199"):
        decode_stream(stream, 199)
    with pytest.raises(WeightStreamError, match="middle of a slice"):
        decode_stream(stream[:40], 200)
    with pytest.raises(WeightStreamError, match="header"):
        decode_stream(np.array([0b100, 0, 0, 0], np.uint8), 1)


def test_scale_records() -> None:
    record = bytes([0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0x78, 0x56, 0x34, 0xF2, 0x25])
    records = decode_scales(np.frombuffer(record + bytes(6), np.uint8), 1)
    assert (records.bias[0], records.scale[0], records.shift[0]) == (-2, 0xF2345678, 0x25)
    with pytest.raises(WeightStreamError, match="2 channels need 20"):
        decode_scales(np.frombuffer(record + bytes(6), np.uint8), 2)
